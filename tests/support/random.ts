/** Chance that can be had again: `SPARKLER_SEED` sets it, the test prints it. */
import { randomInt } from 'node:crypto';

/** Prints the seed and answers a function that gives whole numbers from 0 to below its argument. */
export function seededRandom(): (below: number) => number {
  const seed = Number(process.env['SPARKLER_SEED'] ?? randomInt(2 ** 31));
  console.log(`SPARKLER_SEED=${seed}`);
  let state = seed >>> 0;
  // Mulberry32: 32 bits of state are enough for test inputs.
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
