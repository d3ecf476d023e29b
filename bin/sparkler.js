#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { URL } from 'node:url';

const built = new URL('../dist/src/cli/index.js', import.meta.url);
if (!existsSync(built)) {
  console.error('sparkler: not built yet; run `npm ci && npm run build` in its folder.');
  process.exit(1);
}
const { main } = await import(built.href);
await main();
