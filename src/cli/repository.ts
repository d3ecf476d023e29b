/** Where Sparkler itself lies: images/ and guest/ are read from there. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder of package.json, above this file: whether it runs from source or from dist/. */
export function repositoryFolder(): string {
  let dir = import.meta.dirname;
  while (!existsSync(join(dir, 'package.json')) && dir !== dirname(dir)) dir = dirname(dir);
  return dir;
}

/** Sparkler's version. */
export function ownVersion(): string {
  const text = readFileSync(join(repositoryFolder(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
