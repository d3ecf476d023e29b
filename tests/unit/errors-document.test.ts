import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT, exitCodeOf } from '../../src/cli/failure.js';
import { ERROR_KINDS, type ErrorCode, SparklerError } from '../../src/errors.js';

const text = readFileSync('docs/errors.md', 'utf8');
const cells = [
  ...text.matchAll(/^\| `([A-Z_]+)` *\| (\d+) *\| (\w+) *\| (yes|no) *\| (.+?) *\|$/gm),
];

describe('docs/errors.md', () => {
  it('lists the errors of src/errors.ts, in its order, with status, fault and retry', () => {
    const listed = cells.map(([, code, status, fault, retry]) => [
      code,
      Number(status),
      fault,
      retry,
    ]);
    const known = Object.entries(ERROR_KINDS).map(([code, { status, fault, retryable }]) => [
      code,
      status,
      fault,
      retryable ? 'yes' : 'no',
    ]);
    expect(listed).toEqual(known);
  });

  it('explains each', () => {
    for (const [, code, , , , meaning] of cells) expect(meaning?.length, code).toBeGreaterThan(20);
  });

  it('lists the exit codes that there are', () => {
    const listed = [...text.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code));
    expect(listed).toEqual(Object.values(EXIT));
    const given = Object.keys(ERROR_KINDS).map((code) =>
      exitCodeOf(new SparklerError(code as ErrorCode, '')),
    );
    expect(new Set(given)).toEqual(new Set([1, 2, 3, 4, 5]));
  });
});
