/** That the function of the benchmark sees what is wrong with its memory. */
import { execFileSync } from 'node:child_process';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { TOUCH_PY } from './touch.js';

function answers(lines: readonly string[]): object[] {
  const program = [
    ...['import json, touch', 'answers = []'],
    'def ask(**event): answers.append(touch.handler(event, None))',
    ...lines,
    'print(json.dumps(answers))',
  ];
  const env = { ...process.env, PYTHONPATH: dirname(TOUCH_PY), PYTHONDONTWRITEBYTECODE: '1' };
  return JSON.parse(
    execFileSync('python3', ['-c', program.join('\n')], { env, encoding: 'utf8' }),
  ) as object[];
}

it('finds what it has written, and keeps it until it is told otherwise', () => {
  expect(
    answers([
      "ask(do='touch', mib=2, seed=1)",
      "ask(do='again')",
      "ask(do='fill', mib=3, seed=2)",
      "ask(do='renew', mib=1, seed=3)",
      "ask(do='drop')",
    ]),
  ).toMatchObject([
    { wrong: 0, kept: 2 << 20 },
    { wrong: 0, kept: 2 << 20 },
    { wrong: 0, kept: 5 << 20 },
    { wrong: 0, kept: 1 << 20 },
    { wrong: 0, kept: 0 },
  ]);
});

it('counts bytes that are wrong, also when the area goes', () => {
  expect(
    answers([
      "ask(do='touch', mib=1, seed=1)",
      "ask(do='fill', mib=2, seed=2)",
      'touch.touched[0][0][4096] = 0',
      'touch.filled[0][0][5] ^= 1',
      'touch.filled[0][0][-1] ^= 1',
      "ask(do='check')",
      "ask(do='renew', mib=1)",
      "ask(do='check')",
    ]).slice(2),
  ).toMatchObject([{ wrong: 3 }, { wrong: 3 }, { wrong: 0 }]);
});
