/**
 * The daemon over the in-memory driver, as a process of its own: what it spends on a request is
 * all that there is. Usage: node fake-daemon.js DATA_FOLDER
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { loadConfig } from '../src/config/index.js';
import type { ImagePort } from '../src/control/index.js';
import { startDaemon } from '../src/main.js';
import { FakeDriver, programGuest } from '../src/vmm/index.js';

/** Images without files: the in-memory driver reads none. */
const images: ImagePort = {
  hasImage: () => true,
  hasKernel: () => true,
  image: (alias) => Promise.resolve({ id: alias, rootPath: '/root', minMemMiB: 1 }),
  kernel: (alias) => Promise.resolve({ id: alias, kernelPath: '/kernel', initrdPath: '/initrd' }),
  buildCode: async (archive, path) => {
    const bytes = await buffer(archive);
    await writeFile(path, bytes);
    return { codeId: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length };
  },
};

/** Answers what functions/hello does. */
const driver = new FakeDriver({
  guest: programGuest({
    program: () => (_handler, event) => {
      const { name = 'World' } = event as { readonly name?: string };
      const now = Date.now() / 1000;
      return { message: `Hello, ${name}!`, began: now, ended: now };
    },
  }),
});

const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error('usage: node fake-daemon.js DATA_FOLDER');
const config = loadConfig({
  env: {},
  flags: {
    ...{ dataDir, cacheDir: join(dataDir, 'cache'), port: 0, logLevel: 'warn' },
    'pool.maxVms': 0,
  },
});
const daemon = await startDaemon(config, { driver, images });
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => void daemon.close().then(() => process.exit(0)));
}
process.stdout.write(`${JSON.stringify({ url: daemon.url })}\n`);
