/** `kill -9` of the daemon at random moments under load; `npm run bench -- start` does it 30 times. */
import { expect, it } from 'vitest';
import { killLoop } from '../../bench/kill.js';

const ROUNDS = 2;

it('leaves nothing behind and no snapshot damaged', async () => {
  const seed = Number(process.env['SPARKLER_TEST_SEED'] ?? Date.now() % 1_000_000);
  console.log(`seed: SPARKLER_TEST_SEED=${seed}`);
  for (const round of await killLoop({ rounds: ROUNDS, seed })) {
    expect(round.leftovers, JSON.stringify(round)).toEqual([]);
    expect(round.damaged, JSON.stringify(round)).toEqual([]);
    expect(round.lost, JSON.stringify(round)).toEqual([]);
  }
});
