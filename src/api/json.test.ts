import { describe, expect, it } from 'vitest';
import { brokenJsonPosition, describePosition } from './json.js';

describe('brokenJsonPosition', () => {
  it.each([
    ['', 0],
    ['x', 0],
    ['{"a": abc}', 6],
    ['{"a":1,}', 7],
    ['{"a":1', 6],
    ['{"a" 1}', 5],
    ['{a:1}', 1],
    ["{'a':1}", 1],
    ['[1,2,]', 5],
    ['[1 2]', 3],
    ['[1,2}', 4],
    ['{"a":[{"b":"c]}]}', 17],
    ['"ab\\x"', 3],
    ['"a\nb"', 2],
    ['01', 1],
    ['-', 0],
    ['1 1', 2],
    ['[[[[', 4],
    ['nul', 0],
  ])('%j breaks at %i', (text, position) => {
    expect(() => JSON.parse(text) as unknown).toThrow();
    expect(brokenJsonPosition(text)).toBe(position);
  });

  it.each(['{"a":[1,-2.5e3,{"b":null}],"c":"\\u00e9\\n"}', ' [ ] ', '{}', '"x"', '[[],{}]'])(
    'reads %s to its end',
    (text) => {
      JSON.parse(text);
      expect(brokenJsonPosition(text)).toBe(text.length);
    },
  );

  it('does not recurse', () => {
    const deep = '['.repeat(200_000);
    expect(brokenJsonPosition(deep)).toBe(200_000);
  });

  it('reads long strings', () => {
    const text = `["${'x'.repeat(100_000)}" "y"]`;
    expect(brokenJsonPosition(text)).toBe(100_004);
  });
});

describe('describePosition', () => {
  it('counts lines and columns from 1', () => {
    expect(describePosition('{\n  "a": x}', 9)).toBe('line 2, column 8 (character 10)');
    expect(describePosition('x', 0)).toBe('line 1, column 1 (character 1)');
  });
});
