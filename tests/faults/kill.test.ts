/** `kill -9` of the daemon at random moments under load; `npm run bench -- start` does it 30 times. */
import { expect, it } from 'vitest';
import { killLoop } from '../../bench/kill.js';

const ROUNDS = 2;

it('leaves nothing behind and no snapshot damaged', async () => {
  const seed = Number(process.env['SPARKLER_TEST_SEED'] ?? Date.now() % 1_000_000);
  console.log(`seed: SPARKLER_TEST_SEED=${seed}`);
  const rounds = await killLoop({ rounds: ROUNDS, seed });
  for (const round of rounds) {
    expect(round.problems, JSON.stringify(round)).toEqual([]);
    expect(round.leftovers, JSON.stringify(round)).toEqual([]);
    expect(round.damaged, JSON.stringify(round)).toEqual([]);
    expect(round.lost, JSON.stringify(round)).toEqual([]);
  }
  // A load that did nothing would prove nothing.
  const done = rounds.flatMap((round) => Object.values(round.done));
  expect(done.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
});
