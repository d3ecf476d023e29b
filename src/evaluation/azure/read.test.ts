import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findDay } from './files.js';
import { readDay } from './read.js';
import { eachCount, MINUTES, type PackedCounts } from './trace.js';

const NAMES = {
  invocations: 'invocations_per_function_md.anon.d01.csv',
  durations: 'function_durations_percentiles.anon.d01.csv',
  memory: 'app_memory_percentiles.anon.d01.csv',
} as const;
type What = keyof typeof NAMES;

const minutes = (...counts: (number | string)[]): string =>
  [...counts, ...new Array<number>(MINUTES - counts.length).fill(0)].join(',');

const GOOD: Readonly<Record<What, readonly string[]>> = {
  invocations: [
    `HashOwner,HashApp,HashFunction,Trigger,${Array.from({ length: MINUTES }, (_, i) => i + 1).join(',')}`,
    `o1,a1,f1,http,${minutes(1, 0, 20)}`,
    `o1,a2,f1,timer,${minutes(0, 5)}`,
    `o1,a1,f2,queue,${minutes(7)}`,
  ],
  durations: [
    'HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100',
    'o1,a1,f1,100,21,1,200,1,1,50,90,110,190,200',
    'o1,a1,f2,300.5,7,1,2,1,1,1,1,1,2,2',
    'o9,a9,f9,40,7,1,2,1,1,1,1,1,2,2',
  ],
  memory: [
    'HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1,AverageAllocatedMb_pct5,AverageAllocatedMb_pct25,AverageAllocatedMb_pct50,AverageAllocatedMb_pct75,AverageAllocatedMb_pct95,AverageAllocatedMb_pct99,AverageAllocatedMb_pct100',
    'o1,a1,10,128,1,1,1,1,1,1,1,1',
  ],
};

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-azure-'))));
afterEach(() => rmSync(dir, { recursive: true }));

const pathOf = (what: What): string => join(dir, NAMES[what]);

/** Writes a day whose file `what` has these lines instead. */
function write(what?: What, lines?: readonly string[], end = '\n'): void {
  for (const name of Object.keys(NAMES) as What[]) {
    const text = (name === what && lines) || GOOD[name];
    writeFileSync(pathOf(name), text.map((line) => `${line}${end}`).join(''));
  }
}

const read = async (repair = false) =>
  readDay(await findDay(dir), { repair, signal: new AbortController().signal });

function unpack(packed: PackedCounts): Record<number, number> {
  const counts: Record<number, number> = {};
  eachCount(packed, (minute, count) => (counts[minute] = count));
  return counts;
}

/** The line at `index` (the header's is 0) replaced, or another one after the last. */
function changed(what: What, index: number, line: (old: string) => string): string[] {
  const lines = [...GOOD[what]];
  lines[index] = line(lines[index] ?? '');
  return lines;
}

describe('a day', () => {
  it('is read, and its rows find each other in any order', async () => {
    write();
    const { applications, ...rest } = await read();
    const plain = applications.map(({ memoryMiB, functions }) => ({
      memoryMiB,
      functions: functions.map(({ averageMs, counts }) => [averageMs, unpack(counts)]),
    }));
    expect(plain).toEqual([
      {
        memoryMiB: 128,
        functions: [
          [100, { 0: 1, 2: 20 }],
          [300.5, { 0: 7 }],
        ],
      },
      { memoryMiB: undefined, functions: [[undefined, { 1: 5 }]] },
    ]);
    expect(rest).toMatchObject({ medianMs: 100, medianMiB: 128 });
    expect(Object.values(rest.repairs)).toEqual([0, 0, 0, 0, 0]);
  });

  it.each(['\r\n', '\n\n'])('may have lines that end with %j', async (end) => {
    write('invocations', GOOD.invocations, end);
    expect((await read()).applications).toHaveLength(2);
  });

  it('may lack the last line end, and begin with a byte order mark', async () => {
    write();
    writeFileSync(pathOf('invocations'), `\uFEFF${GOOD.invocations.join('\n')}`);
    expect((await read()).applications[0]?.functions).toHaveLength(2);
  });

  it('may be larger than what is read at once', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => `o,a,f${i},http,${minutes(i + 1)}`);
    write('invocations', [...GOOD.invocations.slice(0, 1), ...rows]);
    const { functions } = (await read()).applications[0]!;
    expect(functions.map(({ counts }) => unpack(counts)[0])).toEqual(rows.map((_, i) => i + 1));
  });
});

describe('a file that is not right names its line', () => {
  const cases: readonly [string, What, string[], string][] = [
    ['another file', 'invocations', [...GOOD.memory], 'line 1: column 3 of the header is'],
    ['a header that is cut', 'invocations', changed('invocations', 0, (h) => h.slice(0, -5)), 'line 1: the header has 1443 columns instead of 1444'], // prettier-ignore
    ['a header too long', 'memory', changed('memory', 0, (h) => `${h},more`), 'line 1: the header has 13 columns'], // prettier-ignore
    ['nothing', 'durations', [], 'line 1: the file is empty'],
    ['only a header', 'invocations', GOOD.invocations.slice(0, 1), 'line 1: there is no row'],
    ['only a header of durations', 'durations', GOOD.durations.slice(0, 1), 'line 1: there is no row'], // prettier-ignore
    ['only a header of memory', 'memory', GOOD.memory.slice(0, 1), 'line 1: there is no row'],
    ['a cut line', 'invocations', changed('invocations', 2, (l) => l.slice(0, 40)), 'line 3: '],
    ['a cut last line', 'invocations', changed('invocations', 3, (l) => l.slice(0, -2)), 'line 4: 1443 fields instead of 1444: it is cut'], // prettier-ignore
    ['a line too long', 'durations', changed('durations', 1, (l) => `${l},1`), 'line 2: 15 fields instead of 14: there are too many'], // prettier-ignore
    ['no hash', 'invocations', changed('invocations', 1, (l) => l.replace('a1', '')), 'line 2: column 2, a hash, is empty'], // prettier-ignore
    ['a word for a count', 'invocations', changed('invocations', 2, (l) => l.replace(',5,', ',many,')), 'line 3: minute 2 is "many", no whole number'], // prettier-ignore
    ['a negative count', 'invocations', changed('invocations', 2, (l) => l.replace(',5,', ',-5,')), 'line 3: minute 2 is "-5"'], // prettier-ignore
    ['half a count', 'invocations', changed('invocations', 2, (l) => l.replace(',5,', ',0.5,')), 'line 3: minute 2 is "0.5"'], // prettier-ignore
    ['a count that is none in C', 'invocations', changed('invocations', 2, (l) => l.replace(',5,', ',0x5,')), 'line 3: minute 2 is "0x5"'], // prettier-ignore
    ['an empty count', 'invocations', changed('invocations', 2, (l) => l.replace(',5,', ',,')), 'line 3: minute 2 is ""'], // prettier-ignore
    ['a count beyond all', 'invocations', changed('invocations', 2, (l) => l.replace(',5,', ',1000000001,')), 'line 3: minute 2 is "1000000001"'], // prettier-ignore
    ['a function twice', 'invocations', [...GOOD.invocations, GOOD.invocations[1]!], 'line 5: this function has had a row before'], // prettier-ignore
    ['a duration twice', 'durations', [...GOOD.durations, GOOD.durations[2]!], 'line 5: this function has had a row before'], // prettier-ignore
    ['an application twice', 'memory', [...GOOD.memory, GOOD.memory[1]!], 'line 3: this application has had a row before'], // prettier-ignore
    ['a word for a duration', 'durations', changed('durations', 2, (l) => l.replace('300.5', 'NaN')), 'line 3: Average is "NaN", no number'], // prettier-ignore
    ['a negative duration', 'durations', changed('durations', 2, (l) => l.replace('300.5', '-41692')), 'line 3: Average is -41692: it cannot be negative'], // prettier-ignore
    ['a negative size', 'memory', changed('memory', 1, (l) => l.replace('128', '-1')), 'line 2: AverageAllocatedMb is -1: it cannot be negative'], // prettier-ignore
    ['a size that is none', 'memory', changed('memory', 1, (l) => l.replace('128', '')), 'line 2: AverageAllocatedMb is "", no number'], // prettier-ignore
    ['samples that are none', 'memory', changed('memory', 1, (l) => l.replace('10', 'x')), 'line 2: SampleCount is "x"'], // prettier-ignore
    ['a quote that does not end', 'memory', changed('memory', 1, (l) => `"${l}`), 'line 2: it is no CSV'], // prettier-ignore
    ['no lines at all', 'invocations', ['x'.repeat(2_000_000)], 'line 1: it has more than 262144 bytes'], // prettier-ignore
  ];
  it.each(cases)('%s', async (_name, what, lines, message) => {
    write(what, lines);
    await expect(read()).rejects.toMatchObject({ code: 'INVALID_TRACE' });
    await expect(read()).rejects.toThrow(`${pathOf(what)}, ${message}`);
  });

  it('also far behind the beginning', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => `o,a,f${i},http,${minutes(i)}`);
    rows[900] = 'o,a,f900,http,1';
    write('invocations', [...GOOD.invocations.slice(0, 1), ...rows]);
    await expect(read()).rejects.toThrow('line 902: 5 fields');
  });
});

describe('with --repair', () => {
  it('rows that repeat are joined, and negative averages replaced or dropped', async () => {
    write();
    const append = (what: What, ...lines: string[]) =>
      writeFileSync(pathOf(what), [...GOOD[what], ...lines, ''].join('\n'));
    append('invocations', `o1,a1,f1,event,${minutes(2)}`);
    append(
      'durations',
      // 21 of 100 ms before, 63 of 200 ms: 175.
      'o1,a1,f1,200,63,1,200,1,1,50,90,110,190,200',
      'o1,a2,f1,-5,7,1,2,1,1,1,70,1,2,2',
      'o2,a2,f1,-5,7,1,2,1,1,1,-70,1,2,2',
    );
    append('memory', 'o1,a1,30,256,1,1,1,1,1,1,1,1', 'o1,a2,30,-1,1,1,1,1,1,1,1,1');
    const { applications, repairs } = await read(true);
    expect(applications.map(({ memoryMiB }) => memoryMiB)).toEqual([224, undefined]);
    const [first, second] = applications.map(({ functions }) => functions[0]!);
    expect(unpack(first!.counts)).toEqual({ 0: 3, 2: 20 });
    expect([first!.averageMs, second!.averageMs]).toEqual([175, 70]);
    expect(repairs).toEqual({
      ...{ invocations: 1, durations: 1, memory: 1, negativeDurations: 2, negativeMemory: 1 },
    });
  });

  it('a count that is none is refused still', async () => {
    write(
      'invocations',
      changed('invocations', 2, (line) => line.replace(',5,', ',-5,')),
    );
    await expect(read(true)).rejects.toMatchObject({ code: 'INVALID_TRACE' });
  });
});

describe('the files of a day', () => {
  const refused = (message: string): unknown =>
    expect.objectContaining({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining(message) as unknown,
    });

  it('must be there, all three', async () => {
    await expect(findDay(join(dir, 'nowhere'))).rejects.toEqual(refused('is no folder'));
    await expect(findDay(dir)).rejects.toEqual(refused(`holds no ${NAMES.invocations}`));
    for (const what of ['durations', 'memory'] as const) {
      write();
      rmSync(pathOf(what));
      await expect(findDay(dir)).rejects.toEqual(refused(`${pathOf(what)} does not exist`));
    }
    await expect(findDay(dir, 1, '/other.csv')).resolves.toMatchObject({ memory: '/other.csv' });
  });

  it('are chosen by the day, if there are several', async () => {
    write();
    for (const name of Object.values(NAMES)) {
      writeFileSync(join(dir, name.replace('d01', 'd12')), readFileSync(join(dir, name)));
    }
    await expect(findDay(dir)).rejects.toEqual(refused('the days 1, 12: choose one with --day'));
    await expect(findDay(dir, 12)).resolves.toMatchObject({
      day: 12,
      memory: join(dir, NAMES.memory.replace('d01', 'd12')),
    });
    await expect(findDay(dir, 2)).rejects.toEqual(refused('d02.csv does not exist'));
  });

  it('may be gone when they are read', async () => {
    write();
    const files = { ...(await findDay(dir)), memory: join(dir, 'gone.csv') };
    const options = { repair: false, signal: new AbortController().signal };
    await expect(readDay(files, options)).rejects.toEqual(refused('gone.csv does not exist'));
    await expect(readDay({ ...files, memory: dir }, options)).rejects.toEqual(
      refused('is a folder'),
    );
  });

  it('are not read on after an interrupt', async () => {
    write();
    const signal = AbortSignal.abort(new TypeError('enough'));
    await expect(readDay(await findDay(dir), { repair: false, signal })).rejects.toThrow('enough');
  });
});
