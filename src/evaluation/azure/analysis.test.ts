import { describe, expect, it } from 'vitest';
import { analyze } from './analysis.js';
import { parsePolicies } from './policies.js';
import { type Calls, countsOf } from './testing.js';
import { type Application, type Day, packCounts } from './trace.js';

const fn = (calls: Calls, averageMs?: number) => ({
  counts: packCounts(countsOf(calls)),
  averageMs,
});

const dayOf = (...applications: Application[]): Day => ({
  applications,
  medianMs: 30_000,
  medianMiB: 1024,
  repairs: {
    ...{ invocations: 0, durations: 0, memory: 0, negativeDurations: 0, negativeMemory: 0 },
  },
});

async function figures(day: Day, policies: string, vmMemoryMiB = 0) {
  const signal = new AbortController().signal;
  const analysis = await analyze(day, { policies: parsePolicies(policies), vmMemoryMiB, signal });
  const { results, ...rest } = analysis;
  const [horizontal, vertical] = results.map((result) => result.figures);
  return { horizontal: horizontal!, vertical: vertical!, ...rest };
}

/** Two functions that are called one minute after the other, and one of another application. */
const small = dayOf(
  { memoryMiB: 512, functions: [fn({ 10: 90 }, 2000), fn({ 11: 1 }, 100)] },
  { memoryMiB: 256, functions: [fn({ 11: 1 }, 100)] },
);

describe('a day by hand', () => {
  it('with VMs that are kept for a minute', async () => {
    // Minute 10: 3 instances of the first function. 11: they are idle, and 1 + 1 are started.
    // 12: those two are idle.
    const { horizontal, vertical, ...rest } = await figures(small, '1m', 256);
    expect(rest).toMatchObject({ functions: 3, applications: 2, invocations: 92 });
    expect(horizontal).toMatchObject({
      ...{ policy: '1 min', scaling: 'horizontal' },
      ...{ coldStarts: 5, coldShare: 5 / 92, verticalStarts: 0, startsAhead: 0 },
      ...{ peakVms: 5, peakMinute: 11, vmMinutes: 3 + 5 + 2, meanVms: 10 / 1440 },
      memoryGiBMinutes: (8 * (512 + 256) + 2 * (256 + 256)) / 1024,
      peakMemoryGiB: (4 * (512 + 256) + (256 + 256)) / 1024,
      alwaysColdApplications: 1 / 2,
    });
    // One VM for the first application in 10, 11 and 12; one for the second in 11 and 12.
    expect(vertical).toMatchObject({
      ...{ scaling: 'vertical', coldStarts: 2, verticalStarts: 3, startsAhead: 0 },
      ...{ peakVms: 2, peakMinute: 11, vmMinutes: 5 },
      memoryGiBMinutes: (8 * 512 + 3 * 256 + 2 * (256 + 256)) / 1024,
      alwaysColdApplications: 1 / 2,
    });
  });

  it('with nothing kept', async () => {
    // 90 × 2 s are 3 minutes of work; 100 ms are 1/600. The first function never stops in its minute.
    const { horizontal, vertical } = await figures(small, 'none', 256);
    expect(horizontal).toMatchObject({ coldStarts: 92, coldShare: 1, alwaysColdApplications: 1 });
    expect(horizontal.vmMinutes).toBeCloseTo(3 + 2 / 600);
    expect(horizontal.memoryGiBMinutes).toBeCloseTo((3 * 768 + 768 / 600 + 512 / 600) / 1024);
    expect(vertical).toMatchObject({ coldStarts: 3, verticalStarts: 89, peakVms: 1 });
    expect(vertical.vmMinutes).toBeCloseTo(1 + 2 / 600);
    expect(vertical.memoryGiBMinutes).toBeCloseTo(
      (3 * 512 + 256 + (512 + 256) / 600 + (256 + 256) / 600) / 1024,
    );
  });

  it('with VMs that are loaded again ahead of a call', async () => {
    // Every 30 minutes; from 57 and from 87 on it is expected, until 93.
    const day = dayOf({ memoryMiB: 1024, functions: [fn({ 0: 1, 30: 1, 60: 1 }, 100)] });
    const { horizontal, vertical } = await figures(day, 'histogram');
    for (const result of [horizontal, vertical]) {
      expect(result).toMatchObject({ coldStarts: 1, startsAhead: 2, wouldForecast: 0 });
      expect(result.vmMinutes).toBe(31 + 4 + 7);
    }
  });

  it('does not load a VM again that is there for another function', async () => {
    const hourly = fn({ 0: 1, 30: 1, 60: 1 }, 100);
    const always = fn(Object.fromEntries(Array.from({ length: 1440 }, (_, i) => [i, 1])), 100);
    const day = dayOf({ memoryMiB: 1024, functions: [hourly, always] });
    const { horizontal, vertical } = await figures(day, 'histogram');
    expect(horizontal).toMatchObject({ coldStarts: 2, startsAhead: 2 });
    expect(vertical).toMatchObject({ coldStarts: 1, verticalStarts: 1, startsAhead: 0 });
    expect(vertical.vmMinutes).toBe(1440);
  });

  it('counts functions that a forecast would be asked for', async () => {
    const day = dayOf({ memoryMiB: 1024, functions: [fn({ 0: 1, 400: 1, 800: 1 }, 100)] });
    const { horizontal } = await figures(day, 'histogram');
    expect(horizontal).toMatchObject({ wouldForecast: 1, coldStarts: 3, vmMinutes: 3 * 241 });
  });

  it('takes the median where a row is missing', async () => {
    // 4 × 30 s in a minute: 2 instances of 1 GiB, and as many for a minute longer.
    const { horizontal, ...rest } = await figures(
      dayOf({ memoryMiB: undefined, functions: [fn({ 0: 4 })] }),
      '1m',
    );
    expect(rest).toMatchObject({ functionsWithoutDuration: 1, applicationsWithoutMemory: 1 });
    expect(horizontal).toMatchObject({ coldStarts: 2, vmMinutes: 4, memoryGiBMinutes: 4 });
  });

  it('may be one in which nothing happens', async () => {
    const { horizontal, vertical } = await figures(
      dayOf({ memoryMiB: 1, functions: [fn({}, 5)] }),
      '1m',
    );
    for (const result of [horizontal, vertical]) {
      expect(result).toMatchObject({ coldStarts: 0, coldShare: 0, peakVms: 0, vmMinutes: 0 });
    }
  });

  it('ends when it is interrupted', async () => {
    const signal = AbortSignal.abort(new TypeError('enough'));
    const options = { policies: parsePolicies('1m'), vmMemoryMiB: 0, signal };
    await expect(analyze(small, options)).rejects.toThrow('enough');
  });
});
