// Writes the files that are made from the code: the client's types from the OpenAPI document, and
// docs/configuration.md from the configuration's schema.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

// Bundled below the root, so that packages resolve and no earlier build is needed.
const bundle = join(root, 'build', `generate-${process.pid}.mjs`);
await build({
  entryPoints: ['tests/support/generated.ts'],
  outfile: bundle,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
});
try {
  const { generatedFiles } = await import(pathToFileURL(bundle).href);
  for (const [path, text] of Object.entries(await generatedFiles())) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(`wrote ${path}`);
  }
} finally {
  rmSync(bundle, { force: true });
}
