import { describe, expect, it } from 'vitest';
import { Demand } from './demand.js';
import { type Calls, countsOf } from './testing.js';
import { packCounts } from './trace.js';
import { UnkeptApplication } from './unkept.js';

interface Fn {
  readonly calls: Calls;
  readonly ms: number;
}

function applicationOf(functions: readonly Fn[]): UnkeptApplication {
  const application = new UnkeptApplication();
  const demand = new Demand();
  application.reset();
  for (const { calls, ms } of functions) {
    demand.set(packCounts(countsOf(calls)), ms);
    application.add(demand, ms);
  }
  return application;
}

describe('an application that is not kept', () => {
  it('has a VM while its function runs', () => {
    // 3 × 10 s.
    const application = applicationOf([{ calls: { 7: 3 }, ms: 10_000 }]);
    expect(application.present(7)).toBeCloseTo(0.5);
    expect(application.starts(7)).toBeCloseTo(3);
    expect(application.present(8)).toBe(0);
    expect(application.starts(8)).toBe(0);
    expect(application.invocations).toBe(3);
  });

  it('starts its VM once while a function never stops', () => {
    // 12 × 10 s: two at once, all the time; then for a minute not.
    const application = applicationOf([{ calls: { 0: 12, 1: 12, 3: 12 }, ms: 10_000 }]);
    expect([0, 1, 2, 3].map((minute) => application.starts(minute))).toEqual([1, 0, 0, 1]);
    expect([0, 1, 2, 3].map((minute) => application.present(minute))).toEqual([1, 1, 0, 1]);
    expect(application.busy.slice(0, 4)).toEqual(Float64Array.of(2, 2, 0, 2));
  });

  it('goes on in the rest of a long call', () => {
    const application = applicationOf([{ calls: { 0: 1 }, ms: 90_000 }]);
    expect([0, 1].map((minute) => application.starts(minute))).toEqual([1, 0]);
    expect([0, 1].map((minute) => application.present(minute))).toEqual([1, 0.5]);
  });

  /** A minute as a circle of so many steps; calls and durations are multiples. */
  const STEPS = 12;
  const STEP_MS = 60_000 / STEPS;

  /** Busy steps and starts of the VM, the average over all ways to shift the functions. */
  function byHand(functions: readonly { count: number; steps: number }[]) {
    const periods = functions.map(({ count }) => STEPS / count);
    const ways = periods.reduce((product, period) => product * period, 1);
    // Fine steps, so that no two functions' calls come at the same time.
    const fine = functions.length;
    let [present, starts] = [0, 0];
    for (let way = 0; way < ways; way++) {
      const running = new Array<boolean>(STEPS * fine).fill(false);
      let rest = way;
      functions.forEach(({ count, steps }, index) => {
        const period = periods[index]!;
        const shift = rest % period;
        rest = Math.floor(rest / period);
        for (let call = 0; call < count; call++) {
          const from = (shift + call * period) * fine + index;
          for (let i = 0; i < steps * fine; i++) running[(from + i) % running.length] = true;
        }
      });
      present += running.filter(Boolean).length / running.length;
      starts += running.filter((now, i) => now && !running.at(i - 1)).length;
    }
    return { present: present / ways, starts: starts / ways };
  }

  it.each([
    { functions: [{ count: 4, steps: 1 }] },
    { functions: [{ count: 1, steps: 11 }] },
    { functions: [{ count: 2, steps: 3 }, { count: 3, steps: 1 }] }, // prettier-ignore
    { functions: [{ count: 1, steps: 6 }, { count: 1, steps: 6 }] }, // prettier-ignore
    { functions: [{ count: 6, steps: 1 }, { count: 4, steps: 2 }, { count: 1, steps: 5 }] }, // prettier-ignore
  ])('is right on average over all ways its functions lie: $functions', ({ functions }) => {
    const application = applicationOf(
      functions.map(({ count, steps }) => ({ calls: { 5: count }, ms: steps * STEP_MS })),
    );
    const expected = byHand(functions);
    expect(application.present(5)).toBeCloseTo(expected.present, 9);
    expect(application.starts(5)).toBeCloseTo(expected.starts, 9);
  });
});
