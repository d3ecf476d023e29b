import { afterEach, beforeEach, expect, it } from 'vitest';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkOutput, writeOutput } from './output.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-output-'))));
afterEach(() => rmSync(dir, { recursive: true }));

const files = new Map([
  ['a.txt', 'one'],
  ['b.txt', 'two'],
]);
const refused: unknown = expect.objectContaining({ code: 'INVALID_REQUEST' });

it('writes a new folder, below new ones, or into an empty one', () => {
  mkdirSync(join(dir, 'empty'));
  for (const name of ['new', 'empty', 'some/where']) {
    checkOutput(join(dir, name));
    writeOutput(join(dir, name), files);
    expect(readdirSync(join(dir, name))).toEqual(['a.txt', 'b.txt']);
    expect(readFileSync(join(dir, name, 'b.txt'), 'utf8')).toBe('two');
  }
  expect(readdirSync(dir).sort()).toEqual(['empty', 'new', 'some']);
});

it('refuses a folder that holds something, and a file', () => {
  writeFileSync(join(dir, 'file'), '');
  for (const folder of [dir, join(dir, 'file')]) {
    expect(() => checkOutput(folder)).toThrow(refused);
    expect(() => writeOutput(folder, files)).toThrow(refused);
  }
  expect(readdirSync(dir)).toEqual(['file']);
});

it('leaves nothing when a file cannot be written', () => {
  const bad = new Map([...files, ['no/such/folder', '']]);
  expect(() => writeOutput(join(dir, 'new'), bad)).toThrow('ENOENT');
  expect(readdirSync(dir)).toEqual([]);
});
