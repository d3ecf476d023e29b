/** Which VMs are ended when others need their memory: plain data in, plain data out. */

/** A VM that nobody uses now. */
export interface IdleVm {
  readonly vmId: string;
  /** In the pool: of its own accord, or because somebody asked for it; absent: it is not. */
  readonly pooled?: 'own' | 'asked';
  /** When it last ended work; a larger number is later. */
  readonly usedAt: number;
  /** What becomes free with it, bytes. */
  readonly bytes: number;
}

const RANKS = { own: 0, asked: 1, none: 2 } as const;

/**
 * The VMs that give way to a request that lacks `missing` bytes, in order: those of the pool's own
 * accord, those that were asked for, and then those that were idle for longest. None when all of them
 * would not be enough: then they would end for nothing.
 */
export function whoGivesWay(idle: readonly IdleVm[], missing: number): readonly IdleVm[] {
  const rank = ({ pooled }: IdleVm): number => RANKS[pooled ?? 'none'];
  const order = [...idle].sort((a, b) => rank(a) - rank(b) || a.usedAt - b.usedAt);
  const chosen: IdleVm[] = [];
  let freed = 0;
  for (const vm of order) {
    if (freed >= missing) break;
    chosen.push(vm);
    freed += vm.bytes;
  }
  return freed >= missing ? chosen : [];
}
