/** Runs one command line, as a process of its own whose peak memory its parent is told. */
import { main } from '../src/cli/index.js';

const KIB = 1024;

process.on('exit', () => {
  process.send?.({ peakBytes: process.resourceUsage().maxRSS * KIB });
});
await main();
