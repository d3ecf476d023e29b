/** Randomness that a printed seed repeats. */

/** Numbers from 0 up to, not including, 1. */
export type Random = () => number;

/** Mulberry32: 32 bits of state are plenty for shuffling and for choosing moments. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same items in another order (Fisher and Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const rest = [...items];
  const order: T[] = [];
  while (rest.length > 0) order.push(...rest.splice(Math.floor(random() * rest.length), 1));
  return order;
}

/** A seed that nobody chose, for printing. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
