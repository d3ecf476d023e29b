import { spawnSync } from 'node:child_process';

/** A reason to stop that the user can do something about. */
export class SetupError extends Error {}

export function say(text) {
  console.log(`setup: ${text}`);
}

/** What `program` prints; undefined when it fails or is not installed. */
export function output(program, args) {
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return result.status === 0 ? result.stdout : undefined;
}

/** Runs a long step with its output shown. */
export function show(program, args, env = {}) {
  const result = spawnSync(program, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  if (result.status === 0) return;
  const reason = result.error?.message ?? `it ended with ${result.status ?? result.signal}`;
  throw new SetupError(`\`${[program, ...args].join(' ')}\` failed: ${reason}`);
}
