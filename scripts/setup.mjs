/**
 * Installs what Sparkler needs on Debian 12 and is not there yet. Says what it does; does nothing,
 * quickly, when all is there. Needs nothing but Node.js: it runs before anything is installed.
 * With `--bench`: also what benchmarks compare with.
 */
import { installNodeModules } from './setup/npm.mjs';
import { installPackages, installYardsticks } from './setup/packages.mjs';
import { SetupError } from './setup/run.mjs';

const NEEDED_NODE = [20, 19];

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NEEDED_NODE[0] || (major === NEEDED_NODE[0] && minor >= NEEDED_NODE[1])) return;
  throw new SetupError(
    `Node.js ${NEEDED_NODE.join('.')} or later is needed; this is ${process.versions.node}.`,
  );
}

try {
  checkNode();
  await installPackages();
  await installNodeModules();
  if (process.argv.includes('--bench')) installYardsticks();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
