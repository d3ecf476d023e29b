/** Has a template, or a VM with clones, fork a VMM: native/vmm-handover stands in for the VMM as our child. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { SparklerError } from '../../errors.js';
import type { VmCgroup } from '../cgroup.js';
import { within } from '../within.js';
import type { ForkSource } from './template.js';

/** What a child process is given under each number. */
export type Inherited = 'ignore' | 'pipe' | number | Duplex;

/** How long a template may take to fork a VMM, ms: many requests may come at once. */
const HANDOVER_LIMIT_MS = 5_000;

/** No VMM was forked; the restore can still be made in another way. */
export class HandoverFailed extends SparklerError {
  constructor(cause?: unknown) {
    super('VMM_FAILED', 'No VMM could be forked.', {}, cause);
  }
}

/**
 * Starts vmm-handover with `inherited`, the descriptors from 2 on that the VMM is to have. It ends
 * as the VMM does, and SIGTERM ends both.
 */
export function handOver(
  source: ForkSource,
  inherited: readonly Inherited[],
  env: Readonly<Record<string, string>>,
  identity: { readonly cgroup: VmCgroup | undefined; readonly uid: number | undefined },
  nativeDir: string,
): ChildProcess {
  const requestsFd = 2 + inherited.length;
  const args = [
    ...[String(process.pid), identity.cgroup?.path ?? '-', String(identity.uid ?? '-')],
    ...[String(requestsFd), source.slots.join(',')],
  ];
  return spawn(`${nativeDir}/vmm-handover`, args, {
    cwd: '/',
    stdio: ['ignore', 'pipe', ...inherited, source.requests],
    env,
  });
}

/** The pid of the VMM, which is confined by then. @throws HandoverFailed */
export async function forkedPid(child: ChildProcess): Promise<number> {
  try {
    const said = await within(readAll(child.stdout as Readable), HANDOVER_LIMIT_MS);
    const pid = Number(said);
    if (said.endsWith('\n') && pid > 0) return pid;
  } catch (error) {
    throw new HandoverFailed(error);
  }
  throw new HandoverFailed();
}

async function readAll(from: Readable): Promise<string> {
  let said = '';
  for await (const chunk of from) said += String(chunk);
  return said;
}
