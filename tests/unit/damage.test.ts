/**
 * Damage to a snapshot's files, and files in each other's place: all of it is found before a VM is
 * made of it. `SPARKLER_DAMAGES` says how many random damages there are, a third of them cuts.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RestoreOptions, StrategyName } from '../../src/snapshot/index.js';
import { STRATEGY_NAMES, recordedEvent, WorkingSets } from '../../src/snapshot/index.js';
import { testPlatform, type TestPlatform } from '../support/control-platform.js';
import { seededRandom } from '../support/random.js';

const DAMAGES = Number(process.env['SPARKLER_DAMAGES'] ?? 30);
const BLOCK = 64 * 1024;
const hello = { functionName: 'hello' };
const random = seededRandom();
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;

const warnings: string[] = [];
/** Called when a VM starts, after its snapshot was verified. */
let onStart: (() => void) | undefined;
let bed: TestPlatform;
let aside: string;

beforeAll(async () => {
  aside = mkdtempSync(join(tmpdir(), 'damage-'));
  mkdirSync(join(aside, 'elsewhere'));
  bed = await testPlatform({
    config: { snapshotDirs: [aside] },
    warn: (message) => warnings.push(message),
    faults: () => {
      onStart?.();
      return undefined;
    },
  });
});
afterAll(async () => {
  expect(bed.driver.live.size).toBe(0);
  await bed.dispose();
  rmSync(aside, { recursive: true });
});

const folder = (ssId: string): string => join(bed.config.dataDir, 'snapshots', ssId);

/** A snapshot of a VM that has counted to `count`. */
async function taken(ssId: string, count: number, memoryPath?: string): Promise<void> {
  const params = JSON.stringify({ add: count });
  const { vmId } = await bed.platform.invoke({ ...hello, params });
  await bed.platform.takeSnapshot({ vmId, ssId, ...(memoryPath && { memoryPath }) });
  await bed.store.settled();
  await bed.platform.deleteVm(vmId);
}

/** What the clone counts to; it is gone afterwards, and what it taught is stored. */
async function count(
  ssId: string,
  strategy: StrategyName = 'vanilla',
  options: RestoreOptions = {},
): Promise<{ count: number; recorded: boolean | undefined }> {
  const { vmId, result, restore } = await bed.platform.invoke({
    ...{ ...hello, ssId },
    restore: { strategy, options },
  });
  await bed.platform.deleteVm(vmId);
  return { ...(JSON.parse(result) as { count: number }), recorded: restore?.recorded };
}

/** The code and message with which an invocation is refused, and whether a VM was made for it. */
async function refusal(ssId: string, strategy: StrategyName): Promise<object> {
  const before = bed.driver.restores.length;
  const answer = await count(ssId, strategy).catch((error: unknown) => error);
  const { code } = answer as { code?: string };
  return { code, vms: bed.driver.restores.length - before };
}

const REFUSED = { code: 'SNAPSHOT_UNUSABLE', vms: 0 };

type Kind = 'flip' | 'cut' | 'grow' | 'hole' | 'zeros';

/** What was done, in words, and whether the file has other contents now. */
interface Damage {
  readonly what: string;
  readonly isOne: boolean;
}

/** A file with the times of `path`, to the nanosecond: Node.js would round them. */
function timesOf(path: string): string {
  const times = join(aside, 'times');
  execFileSync('touch', ['-r', path, times]);
  return times;
}

const setTimes = (path: string, times: string): void =>
  void execFileSync('touch', ['-r', times, path]);

/** Damages a file; half of the times its time of change is set back. */
function damage(path: string, kind: Kind): Damage {
  const { size } = statSync(path);
  const times = timesOf(path);
  const isMemory = basename(path).startsWith('memory');
  // Memory is mostly zeros: half of the damages meet its first pages, which are not.
  const at = random(isMemory && random(2) === 0 ? 8 * 4096 : size);
  const file = openSync(path, 'r+');
  const isOne = change(path, file, kind, at, size);
  closeSync(file);
  const sets = random(2) === 0;
  if (sets) setTimes(path, times);
  return { what: `${kind} in ${basename(path)} at ${at}${sets ? ', time set back' : ''}`, isOne };
}

function change(path: string, file: number, kind: Kind, at: number, size: number): boolean {
  const length = Math.min(BLOCK, size - at);
  const there = Buffer.alloc(kind === 'flip' ? 1 : length);
  readSync(file, there, 0, there.length, at);
  switch (kind) {
    case 'flip':
      there[0] = (there[0] ?? 0) ^ (1 << random(8));
      writeSync(file, there, 0, 1, at);
      return true;
    case 'cut':
      // The line break at a manifest's end means nothing.
      truncateSync(path, Math.min(at, size - 2));
      return true;
    case 'grow':
      truncateSync(path, size + 1 + random(BLOCK));
      return true;
    case 'hole':
      execFileSync('fallocate', ['-p', '-o', String(at), '-l', String(length), path]);
      return there.some((byte) => byte !== 0);
    case 'zeros':
      writeSync(file, Buffer.alloc(length), 0, length, at);
      return there.some((byte) => byte !== 0);
  }
}

/** A third of them change the length or make holes. */
const kindOf = (number: number): Kind =>
  number % 3 === 0 ? pick(['cut', 'grow', 'hole', 'zeros'] as const) : 'flip';

describe('random damage', () => {
  const MAIN = ['memory', 'state', 'manifest.json', 'sums', 'nonzero'];
  /** What is derived, which strategy uses it, and what is made of it. */
  const DERIVED: readonly (readonly [string, StrategyName, readonly string[]])[] = [
    ['reap.wsf', 'reap', []],
    ['faasnap.wsf', 'faasnap', []],
    ['populate.wsf', 'populate', []],
    ['trace-1.rec', 'reap', ['reap.wsf', 'populate.wsf']],
    ['layers.rec', 'faasnap', ['faasnap.wsf']],
    ['written.rec', 'populate', []],
  ];
  const at = (name: string): string => join(folder('whole'), name);
  const copyOf = (name: string): string => join(aside, `whole-${name}`);
  const copy = (from: string, to: string): void => {
    rmSync(to, { force: true });
    execFileSync('cp', ['--sparse=always', from, to]);
  };

  beforeAll(async () => {
    await taken('whole', 5);
    expect(await count('whole', 'reap')).toEqual({ count: 5, recorded: true });
    expect(await count('whole', 'populate')).toEqual({ count: 5, recorded: false });
    // The fake driver's VMs have no process whose page cache could be looked at.
    const loaded = await bed.store.loadAnywhere({ ssId: 'whole' });
    const sets = new WorkingSets(loaded, bed.store, () => undefined);
    const layers = new Uint16Array(sets.pages);
    layers.set([0, 1, 1, 2], 0);
    await sets.putLayers(layers, recordedEvent('{}'));
    expect(await count('whole', 'faasnap')).toEqual({ count: 5, recorded: false });
    for (const name of [...MAIN, ...DERIVED.map(([derived]) => derived)]) {
      copy(at(name), copyOf(name));
    }
  });

  it('of a file that a restore needs refuses the snapshot', async () => {
    for (let number = 0; number < DAMAGES / 2; number++) {
      const name = pick(MAIN);
      const strategy = pick(STRATEGY_NAMES);
      const { what, isOne } = damage(at(name), kindOf(number));
      if (isOne) expect(await refusal('whole', strategy), `${what}, ${strategy}`).toEqual(REFUSED);
      else expect(await count('whole', strategy), what).toMatchObject({ count: 5 });
      copy(copyOf(name), at(name));
    }
    expect(await count('whole')).toMatchObject({ count: 5 });
  });

  it('of a derived file drops it, says so, and makes it anew', async () => {
    for (let number = 0; number < DAMAGES / 2; number++) {
      const [name, strategy, made] = pick(DERIVED);
      for (const other of made) rmSync(at(other), { force: true });
      const { what, isOne } = damage(at(name), kindOf(number));
      warnings.length = 0;
      const directIo = random(2) === 0;
      const answer = await count('whole', strategy, strategy === 'reap' ? { directIo } : {});
      expect(answer.count, what).toBe(5);
      const dropped = warnings.filter((message) => message.includes(`${name} was dropped`));
      expect(dropped.length, `${what}: ${warnings.join()}`).toBe(isOne ? 1 : 0);
      if (name !== 'layers.rec') expect(existsSync(at(name)), what).toBe(true);
      if (name === 'layers.rec') expect(answer.recorded, what).toBe(isOne);
      for (const [other] of DERIVED) copy(copyOf(other), at(other));
    }
    warnings.length = 0;
    for (const strategy of STRATEGY_NAMES) {
      expect(await count('whole', strategy)).toEqual({ count: 5, recorded: false });
    }
    expect(warnings).toEqual([]);
  });
});

describe('files in each other’s place', () => {
  const a = (name: string): string => join(folder('a'), name);
  const b = (name: string): string => join(folder('b'), name);

  beforeAll(async () => {
    await taken('a', 1);
    await taken('b', 2);
    for (const ssId of ['a', 'b']) await count(ssId, 'reap');
  });

  /** Puts the other snapshot's files there for as long as `work` takes, looking as the own ones. */
  async function exchanged(names: readonly string[], work: () => Promise<void>): Promise<void> {
    for (const name of names) {
      const times = timesOf(a(name));
      renameSync(a(name), a(`${name}.own`));
      copyFileSync(b(name), a(name));
      setTimes(a(name), times);
    }
    try {
      await work();
    } finally {
      for (const name of names) renameSync(a(`${name}.own`), a(name));
    }
    expect(await count('a')).toMatchObject({ count: 1 });
  }

  it.each([
    [['memory']],
    [['state']],
    [['manifest.json']],
    [['memory', 'sums']],
    [['memory', 'sums', 'nonzero', 'state']],
    [['memory', 'sums', 'nonzero', 'state', 'manifest.json']],
  ])('%o of another snapshot: refused', async (names) => {
    expect(await count('a')).toMatchObject({ count: 1 });
    await exchanged(names, async () => {
      for (const strategy of STRATEGY_NAMES) {
        expect(await refusal('a', strategy)).toEqual(REFUSED);
      }
    });
  });

  it('a working set and a trace of another snapshot: dropped, and recorded anew', async () => {
    await exchanged(['reap.wsf', 'trace-1.rec'], async () => {
      warnings.length = 0;
      expect(await count('a', 'reap')).toEqual({ count: 1, recorded: true });
      expect(warnings).toEqual([
        expect.stringMatching(/reap\.wsf was dropped: .* is of memory/),
        expect.stringMatching(/trace-1\.rec was dropped: .* is of memory/),
      ]);
      expect(await count('a', 'reap')).toEqual({ count: 1, recorded: false });
    });
  });

  it('a manifest of an earlier snapshot with the same name: refused', async () => {
    await taken('again', 3);
    const old = join(aside, 'old.json');
    copyFileSync(join(folder('again'), 'manifest.json'), old);
    await bed.platform.deleteSnapshot('again');
    await taken('again', 4);
    expect(await count('again')).toMatchObject({ count: 4 });
    copyFileSync(old, join(folder('again'), 'manifest.json'));
    expect(await refusal('again', 'vanilla')).toEqual(REFUSED);
  });
});

describe('a bit that flips', () => {
  const flip = (path: string, at: number): void => {
    const times = timesOf(path);
    const file = openSync(path, 'r+');
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 4;
    writeSync(file, byte, 0, 1, at);
    closeSync(file);
    setTimes(path, times);
  };

  it.each(['memory', 'state', 'sums'])(
    'in %s between its verification and its use ends the VM before its guest runs',
    async (name) => {
      const ssId = `late-${name}`;
      await taken(ssId, 6);
      expect(await count(ssId)).toMatchObject({ count: 6 });
      onStart = () => flip(join(folder(ssId), name), name === 'state' ? 0 : 4096);
      if (name === 'sums') onStart = () => flip(join(folder(ssId), name), 8);
      try {
        await expect(count(ssId)).rejects.toMatchObject({ code: 'SNAPSHOT_UNUSABLE' });
      } finally {
        onStart = undefined;
      }
      expect(bed.driver.live.size).toBe(0);
      expect(await refusal(ssId, 'vanilla')).toEqual(REFUSED);
    },
  );

  it('in a working set between its verification and its use: the next one is made anew', async () => {
    await taken('late-ws', 7);
    await count('late-ws', 'reap');
    onStart = () => flip(join(folder('late-ws'), 'reap.wsf'), 3 * 4096);
    try {
      await expect(count('late-ws', 'reap')).rejects.toMatchObject({ code: 'SNAPSHOT_UNUSABLE' });
    } finally {
      onStart = undefined;
    }
    warnings.length = 0;
    expect(await count('late-ws', 'reap')).toMatchObject({ count: 7 });
    expect(warnings).toEqual([expect.stringContaining('reap.wsf was dropped')]);
  });

  it('in a memory file that lies elsewhere is found there', async () => {
    const memoryPath = join(aside, 'elsewhere', 'memory-of-x');
    await taken('x', 8, memoryPath);
    expect(existsSync(join(folder('x'), 'memory'))).toBe(false);
    for (const strategy of STRATEGY_NAMES.filter((name) => name !== 'faasnap')) {
      expect(await count('x', strategy)).toMatchObject({ count: 8 });
    }
    flip(memoryPath, random(128) * 1024 * 1024);
    for (const strategy of STRATEGY_NAMES) expect(await refusal('x', strategy)).toEqual(REFUSED);
    await bed.platform.deleteSnapshot('x');
    expect(existsSync(memoryPath)).toBe(false);
  });

  it('where nothing looks is none: a hole among zeros changes nothing', async () => {
    await taken('holes', 9);
    const memory = join(folder('holes'), 'memory');
    execFileSync('fallocate', ['-p', '-o', String(64 << 20), '-l', String(1 << 20), memory]);
    expect(await count('holes')).toMatchObject({ count: 9 });
    expect(readFileSync(memory).length).toBe(128 << 20);
  });
});
