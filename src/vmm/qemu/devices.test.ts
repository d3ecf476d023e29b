/** When a resize is over, with a small program in QEMU's place: its monitor and its stderr. */
import { PassThrough, duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { MIB, type MemoryLayout } from '../memory.js';
import { Tail } from '../tail.js';
import { parseStats, QemuMemory } from './devices.js';
import { Preload } from './preload.js';
import { Qmp } from './qmp.js';
import { sumResident } from './resident.js';
import { Traces } from './trace.js';

interface Command {
  readonly execute: string;
  readonly arguments?: { readonly property?: string; readonly value?: number };
}

/** Answers like QEMU; `onWish` is told of each size that is wanted. */
class Monitor {
  readonly asked: string[] = [];
  readonly wishes: number[] = [];
  readonly stderr = new PassThrough();
  readonly tail = new Tail(1000);
  readonly memory: QemuMemory;
  /** Bytes. */
  plugged = 0;
  balloon = 256 * MIB;
  onWish: (bytes: number) => void = () => undefined;
  readonly #end;

  constructor() {
    const [ours, theirs] = duplexPair();
    this.#end = theirs;
    let rest = '';
    theirs.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#answer(JSON.parse(line) as Command);
    });
    const layout: MemoryLayout = {
      balloon: { freePageReporting: false },
      hotplug: { maxMiB: 512 },
    };
    const spec = {
      ...{ vmId: 'vm', vcpus: 1, memMiB: 256, kernelPath: '', initrdPath: '', kernelArgs: '' },
      ...{ drives: [], dir: '' },
    };
    this.memory = new QemuMemory(spec, layout, {
      pid: process.pid,
      qmp: new Qmp(ours),
      preload: new Preload(new PassThrough()),
      traces: new Traces(this.stderr, this.tail),
    });
  }

  event(event: string): void {
    this.#end.write(`${JSON.stringify({ event, data: {} })}\n`);
  }

  #answer({ execute, arguments: args }: Command): void {
    this.asked.push(execute);
    const wish = execute === 'balloon' || args?.property === 'requested-size';
    const answers: Record<string, unknown> = {
      'query-memory-devices': [{ data: { id: 'hotplug', size: this.plugged } }],
      'query-balloon': { actual: this.balloon },
    };
    this.#end.write(`${JSON.stringify({ return: answers[execute] ?? {} })}\n`);
    if (!wish) return;
    this.wishes.push(args?.value ?? -1);
    this.onWish(args?.value ?? -1);
  }
}

/** Never met by what ends at all. */
const AMPLE_MS = 10_000;

describe('a resize', () => {
  it('is over when a trace point says so, long before the event', async () => {
    const monitor = new Monitor();
    monitor.onWish = (bytes) => {
      monitor.plugged = bytes;
      monitor.stderr.write('virtio_mem_send_response type=0\n');
    };
    const done = await monitor.memory.setPlugged(128, AMPLE_MS);
    expect(done).toMatchObject({ reached: true, mib: 128 });
    expect(monitor.wishes).toEqual([128 * MIB]);
  });

  it('is over when the event says so, where there are no trace points', async () => {
    const monitor = new Monitor();
    monitor.onWish = (bytes) => {
      setTimeout(() => {
        monitor.balloon = bytes;
        monitor.event('BALLOON_CHANGE');
      }, 5);
    };
    const done = await monitor.memory.setBalloon(100, AMPLE_MS);
    expect(done).toMatchObject({ reached: true, mib: 100 });
  });

  it('asks for the size when it is told to look, not again and again', async () => {
    const monitor = new Monitor();
    monitor.onWish = (bytes) => {
      setTimeout(
        () => monitor.stderr.write('virtio_balloon_set_config actual: 1 oldactual: 0\n'),
        5,
      );
      setTimeout(() => {
        monitor.balloon = bytes;
        const pages = (256 * MIB - bytes) / 4096;
        monitor.stderr.write(`virtio_balloon_set_config actual: ${pages} oldactual: 1\n`);
      }, 50);
    };
    expect(await monitor.memory.setBalloon(128, AMPLE_MS)).toMatchObject({ reached: true });
    const looked = monitor.asked.filter((command) => command === 'query-balloon');
    // Before the wish, after it, and when it was reached: the step between said that it was not.
    expect(looked).toHaveLength(3);
  });

  it('wants the old size again when the guest does not get there', async () => {
    const monitor = new Monitor();
    monitor.plugged = 64 * MIB;
    monitor.onWish = (bytes) => {
      if (bytes === 256 * MIB) monitor.plugged = 128 * MIB;
    };
    const done = await monitor.memory.setPlugged(256, 20);
    expect(done).toMatchObject({ reached: false, mib: 128 });
    expect(monitor.wishes).toEqual([256 * MIB, 64 * MIB]);
  });

  it('switches the trace points off when it is over', async () => {
    const monitor = new Monitor();
    await monitor.memory.setPlugged(2, 5);
    expect(monitor.asked.slice(-2)).toEqual(['trace-event-set-state', 'trace-event-set-state']);
    expect(monitor.asked.filter((command) => command === 'trace-event-set-state')).toHaveLength(4);
  });
});

describe("QEMU's stderr", () => {
  it.each([
    [['out of luck\n'], [], 'out of luck\n'],
    [['virtio_mem_send_response type=0\n'], ['virtio_mem_send_response type=0'], ''],
    [['virtio_mem_se', 'nd_response type=1\nbad\n'], ['virtio_mem_send_response type=1'], 'bad\n'],
    [['virtio', ' is broken'], [], 'virtio is broken'],
    [
      ['a\nvirtio_balloon_set_config actual: 1 oldactual: 0\nb'],
      ['virtio_balloon_set_config actual: 1 oldactual: 0'],
      'a\nb',
    ],
  ])('%j is parted into trace points and all else', async (chunks, traced, kept) => {
    const stderr = new PassThrough();
    const tail = new Tail(1000);
    const lines: string[] = [];
    new Traces(stderr, tail).listen((line) => lines.push(line));
    for (const chunk of chunks) stderr.write(chunk);
    stderr.end();
    await new Promise((resolve) => stderr.once('close', resolve));
    expect(lines).toEqual(traced);
    expect(tail.toString()).toBe(kept);
  });
});

describe('what QEMU and the kernel say', () => {
  it('reads the statistics that the guest gave', () => {
    const stats = {
      'stat-free-memory': 1000,
      'stat-available-memory': 2000,
      'stat-major-faults': 18446744073709552000,
    };
    expect(parseStats({ stats, 'last-update': 100 }, 103_000)).toEqual({
      ageMs: 3000,
      freeBytes: 1000,
      availableBytes: 2000,
    });
    expect(parseStats({ stats: {}, 'last-update': 0 }, 1)).toBeUndefined();
  });

  it('sums up what is resident of one range of addresses', () => {
    const mapping = (range: string, kb: number): string =>
      `${range} rw-p 00000000 00:00 0 \nSize:  99 kB\nRss:   ${kb} kB\nPss:  1 kB\n`;
    const smaps = [
      mapping('1000-2000', 1),
      mapping('2000-3000', 4),
      mapping('3000-a000', 20),
      mapping('a000-b000', 7),
    ].join('');
    expect(sumResident(smaps, 0x2000n, 0xa000n)).toBe(24 * 1024);
  });
});
