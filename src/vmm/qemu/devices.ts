/**
 * A VM's memory devices, over QMP and the preload.
 *
 * The end of a resize is told, not asked for again and again. QEMU's own events for it
 * (MEMORY_DEVICE_SIZE_CHANGE, BALLOON_CHANGE) come at most once a second: the first of a resize at
 * once, the last up to a second late. So its trace points of the same moments are switched on while a
 * resize is under way. Both only say when to look; what counts is the size that QEMU then answers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SparklerError } from '../../errors.js';
import type { MachineSpec } from '../driver.js';
import {
  MIB,
  PAGE_BYTES,
  type BalloonStats,
  type MemoryLayout,
  type MemoryState,
  type Populated,
  type Resized,
  type VmMemory,
} from '../memory.js';
import { BALLOON, blockDevice, HOTPLUG } from './memory-args.js';
import type { Preload } from './preload.js';
import type { Qmp } from './qmp.js';
import { residentBytes } from './resident.js';
import { TRACE_POINTS, type Traces } from './trace.js';

/** The VM as its memory devices see it. */
export interface Connections {
  readonly pid: number;
  readonly qmp: Qmp;
  readonly preload: Preload;
  readonly traces: Traces;
}

/** How often QEMU asks for the balloon's statistics unless told, seconds. Nobody waits for them. */
const STATS_INTERVAL_S = 5;

/** The preload does one thing at a time: others get their turn between pieces of so much. */
const PIECE_BYTES = 64 * MIB;

/** One device that is being resized. */
interface Resizable {
  /** Whether a trace point may mean that `mib` is reached. */
  readonly mayBe: (line: string, mib: number) => boolean;
  readonly event: string;
  readonly size: () => Promise<number>;
  readonly want: (mib: number) => Promise<unknown>;
}

interface MemoryDevice {
  readonly data: { readonly id: string; readonly size: number; readonly memaddr: number };
}

export class QemuMemory implements VmMemory {
  readonly #spec: MachineSpec;
  readonly #layout: MemoryLayout;
  readonly #vm: Connections;

  constructor(spec: MachineSpec, layout: MemoryLayout, vm: Connections) {
    this.#spec = spec;
    this.#layout = layout;
    this.#vm = vm;
  }

  /** Once QEMU answers. It is not migrated: a restored VM needs it as a booted one does. */
  async begin(): Promise<void> {
    const { balloon } = this.#layout;
    if (!balloon) return;
    const { statsS = STATS_INTERVAL_S } = balloon;
    await this.#set(BALLOON, 'guest-stats-polling-interval', statsS);
  }

  async ready(limitMs: number): Promise<Resized> {
    await this.#mustAscend();
    const blocks = this.#layout.blocks ?? [];
    const all = blocks.reduce((sum, { memMiB }) => sum + memMiB, 0);
    const device = {
      ...this.#plugging(),
      size: async () => {
        const sizes = await this.#sizes();
        return blocks.reduce((sum, _, k) => sum + (sizes.get(blockDevice(k + 1)) ?? 0), 0);
      },
      want: () => Promise.resolve(),
    };
    return this.#resize(device, all, limitMs);
  }

  /** The agent knows blocks by the order of their addresses: docs/protocol/guest-channel.md. */
  async #mustAscend(): Promise<void> {
    const at = new Map((await this.#devices()).map(({ data }) => [data.id, data.memaddr]));
    const blocks = this.#layout.blocks ?? [];
    const addresses = blocks.map((_, k) => at.get(blockDevice(k + 1)) ?? NaN);
    const ascend = addresses.every((address, k) => k === 0 || address > (addresses[k - 1] ?? NaN));
    if (ascend) return;
    const message = `QEMU has placed the blocks at ${addresses.join(', ')}, which is not their order.`;
    throw new SparklerError('VMM_FAILED', message);
  }

  setBalloon(guestMiB: number, limitMs: number): Promise<Resized> {
    const { qmp } = this.#vm;
    const device: Resizable = {
      event: 'BALLOON_CHANGE',
      mayBe: (line, mib) => line.startsWith(this.#ballooned(mib)),
      size: () => this.#balloonMiB(),
      want: (mib) => qmp.execute('balloon', { value: mib * MIB }),
    };
    return this.#resize(device, guestMiB, limitMs);
  }

  setPlugged(mib: number, limitMs: number): Promise<Resized> {
    const device = {
      ...this.#plugging(),
      size: async () => (await this.#sizes()).get(HOTPLUG) ?? 0,
      want: (size: number) => this.#set(HOTPLUG, 'requested-size', size * MIB),
    };
    return this.#resize(device, mib, limitMs);
  }

  async populate(block: number, offset: number, bytes: number): Promise<Populated> {
    let pages = 0;
    let ms = 0;
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      const size = Math.min(PIECE_BYTES, bytes - done);
      const piece = await this.#vm.preload.populateBlock(block, offset + done, size);
      pages += piece.pages;
      ms += piece.ms;
    }
    return { pages, ms };
  }

  discard(block: number): Promise<void> {
    return this.#vm.preload.discardBlock(block);
  }

  async state(): Promise<MemoryState> {
    const { balloon, hotplug, blocks = [] } = this.#layout;
    const [sizes, behind, base, balloonMiB, stats] = await Promise.all([
      this.#sizes(),
      this.#behind(),
      this.#baseBytes(),
      balloon && this.#balloonMiB(),
      balloon && this.#stats(),
    ]);
    const blocksMiB = blocks.reduce((sum, { memMiB }) => sum + memMiB, 0);
    return {
      configuredMiB: this.#spec.memMiB + blocksMiB + (hotplug?.maxMiB ?? 0),
      pluggedMiB: sizes.get(HOTPLUG) ?? 0,
      ...(balloonMiB !== undefined && { balloonMiB }),
      residentBytes: base + behind.reduce((sum, bytes) => sum + bytes, 0),
      blocks: blocks.map(({ memMiB }, k) => ({
        memMiB,
        pluggedMiB: sizes.get(blockDevice(k + 1)) ?? 0,
        residentBytes: behind[k + 1] ?? 0,
      })),
      ...(stats && { guestStats: stats }),
    };
  }

  /** Host memory behind what a snapshot leaves out, bytes. */
  async unsavedBytes(): Promise<number> {
    return (await this.#behind()).reduce((sum, bytes) => sum + bytes, 0);
  }

  async #resize(device: Resizable, mib: number, limitMs: number): Promise<Resized> {
    const asked = performance.now();
    const deadline = asked + limitMs;
    const before = await device.size();
    const result = (reached: boolean, now: number): Resized => ({
      reached,
      mib: now,
      ms: performance.now() - asked,
    });
    if (before === mib) {
      // A wish from before that was never met is none any more.
      await device.want(mib);
      return result(true, mib);
    }
    const watch = await this.#watch(device, mib);
    try {
      await device.want(mib);
      do {
        if ((await device.size()) === mib) return result(true, mib);
      } while (await watch.next(deadline));
      await device.want(before);
      return result(false, await device.size());
    } finally {
      await watch.end();
    }
  }

  /** Tells when it is time to look at the device's size. */
  async #watch(
    device: Resizable,
    mib: number,
  ): Promise<{ next: (deadline: number) => Promise<boolean>; end: () => Promise<void> }> {
    const { qmp, traces } = this.#vm;
    const signal = new Signal();
    const forget = [
      traces.listen((line) => device.mayBe(line, mib) && signal.raise()),
      qmp.listen((event) => event === device.event && signal.raise()),
    ];
    await this.#trace(true);
    return {
      next: (deadline) => signal.wait(deadline - performance.now()),
      end: async () => {
        for (const stop of forget) stop();
        await this.#trace(false);
      },
    };
  }

  /** A QEMU without them is slower to tell: its events remain. */
  async #trace(enable: boolean): Promise<void> {
    const points = Object.values(TRACE_POINTS).map((name) =>
      this.#vm.qmp.execute('trace-event-set-state', {
        name,
        enable,
        'ignore-unavailable': true,
      }),
    );
    await Promise.all(points);
  }

  #plugging(): Pick<Resizable, 'mayBe' | 'event'> {
    return {
      event: 'MEMORY_DEVICE_SIZE_CHANGE',
      mayBe: (line) => line.startsWith(TRACE_POINTS.answered),
    };
  }

  /** How the line begins that says that the balloon leaves `mib` to the guest. */
  #ballooned(mib: number): string {
    const pages = ((this.#spec.memMiB - mib) * MIB) / PAGE_BYTES;
    return `${TRACE_POINTS.ballooned} actual: ${pages} `;
  }

  async #sizes(): Promise<Map<string, number>> {
    return new Map((await this.#devices()).map(({ data }) => [data.id, data.size / MIB]));
  }

  async #devices(): Promise<MemoryDevice[]> {
    return (await this.#vm.qmp.execute('query-memory-devices')) as MemoryDevice[];
  }

  async #balloonMiB(): Promise<number> {
    const { actual } = (await this.#vm.qmp.execute('query-balloon')) as { actual: number };
    return actual / MIB;
  }

  async #stats(): Promise<BalloonStats | undefined> {
    const said = await this.#vm.qmp.execute('qom-get', {
      path: `/machine/peripheral/${BALLOON}`,
      property: 'guest-stats',
    });
    return parseStats(said as GuestStats, Date.now());
  }

  #set(id: string, property: string, value: number): Promise<unknown> {
    const path = `/machine/peripheral/${id}`;
    return this.#vm.qmp.execute('qom-set', { path, property, value });
  }

  /** Host memory behind the memory to plug in and behind each block, bytes. */
  async #behind(): Promise<number[]> {
    const { hotplug, blocks = [] } = this.#layout;
    if (!hotplug && blocks.length === 0) return [];
    return this.#vm.preload.blocksResident(blocks.length);
  }

  async #baseBytes(): Promise<number> {
    const { address, length } = await this.#vm.preload.region();
    return residentBytes(this.#vm.pid, address, length);
  }
}

/** What QEMU answers for `guest-stats`. What the guest did not say is 2^64 - 1. */
export interface GuestStats {
  readonly stats: Readonly<Record<string, number>>;
  /** Unix time, seconds; 0: never. */
  readonly 'last-update': number;
}

const MS_PER_S = 1000;

/** @param now as `Date.now()`. Undefined when the guest has said nothing yet. */
export function parseStats(
  { stats, 'last-update': updated }: GuestStats,
  now: number,
): BalloonStats | undefined {
  if (updated === 0) return undefined;
  const names = {
    freeBytes: 'stat-free-memory',
    availableBytes: 'stat-available-memory',
    totalBytes: 'stat-total-memory',
    diskCacheBytes: 'stat-disk-caches',
    majorFaults: 'stat-major-faults',
    minorFaults: 'stat-minor-faults',
  } as const;
  const said = Object.entries(names).flatMap(([name, stat]) => {
    const value = stats[stat];
    return value === undefined || !Number.isSafeInteger(value) ? [] : [[name, value] as const];
  });
  return { ageMs: Math.max(0, now - updated * MS_PER_S), ...Object.fromEntries(said) };
}

/** Remembers one call until somebody waits for it. */
class Signal {
  #raised = false;
  #wake: (() => void) | undefined;

  raise(): void {
    this.#raised = true;
    this.#wake?.();
  }

  /** False when nothing came in `ms`. */
  async wait(ms: number): Promise<boolean> {
    if (!this.#raised && ms > 0) {
      const expiry = new AbortController();
      const raised = new Promise<void>((resolve) => (this.#wake = resolve));
      const over = sleep(ms, undefined, { signal: expiry.signal }).catch(() => undefined);
      await Promise.race([raised, over]);
      expiry.abort();
      this.#wake = undefined;
    }
    const was = this.#raised;
    this.#raised = false;
    return was;
  }
}
