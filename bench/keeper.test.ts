import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { Keeper } from './keeper.js';

const open: Keeper[] = [];
const start = async (): Promise<Keeper> => {
  const keeper = await Keeper.start();
  open.push(keeper);
  return keeper;
};
afterEach(() => Promise.all(open.splice(0).map((keeper) => keeper.close())));

/** Leaves a process of another session, which says its number on the channel. */
const LEAVE = "exec 3<&0; setsid sh -c 'echo $$ >&3; exec sleep 1000' &";

async function said(keeper: Keeper): Promise<string> {
  const [chunk] = (await once(keeper.channel, 'data')) as [Buffer];
  return chunk.toString().trim();
}

it('gives a command the channel as its stdin', async () => {
  const keeper = await start();
  const answer = said(keeper);
  keeper.channel.write('a line\n');
  await keeper.run(['sh', '-c', 'read text; echo "got $text" >&0']);
  expect(await answer).toBe('got a line');
});

it('says what a command that fails wrote, and runs the next one', async () => {
  const keeper = await start();
  await expect(keeper.run(['sh', '-c', 'echo no luck; exit 3'])).rejects.toThrow(
    /ended with 3: no luck/,
  );
  await expect(keeper.run(['/no/such/program'])).rejects.toThrow(/ended with 127: .*No such file/);
  await expect(keeper.run(['sh', '-c', 'kill -9 $$'])).rejects.toThrow(/ended with 137/);
  await keeper.run(['true']);
});

it('ends what a command left, and has ended it when close() returns', async () => {
  const keeper = await start();
  const pid = said(keeper);
  await keeper.run(['sh', '-c', LEAVE]);
  expect(existsSync(`/proc/${await pid}`)).toBe(true);
  await keeper.close();
  expect(existsSync(`/proc/${await pid}`)).toBe(false);
});

it('does not wait for a command that does not end', async () => {
  const keeper = await start();
  const pid = said(keeper);
  const running = expect(keeper.run(['sh', '-c', 'echo $$ >&0; exec sleep 1000'])).rejects.toThrow(
    /ended with its keeper/,
  );
  await pid;
  await keeper.close();
  await running;
  expect(existsSync(`/proc/${await pid}`)).toBe(false);
});
