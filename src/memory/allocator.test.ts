import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../tests/support/random.js';
import { chooseBlocks, describeSizes, sums, sumOf, type FreeBlock } from './allocator.js';

/** Blocks 1, 2, … of these sizes; `512w` is a warm one. */
function blocks(...sizes: readonly (number | string)[]): FreeBlock[] {
  return sizes.map((size, i) => ({
    node: i + 1,
    memMiB: Number.parseInt(String(size)),
    warm: String(size).endsWith('w'),
  }));
}

describe('chooseBlocks', () => {
  it.each([
    ['the only one', [512], 512, [1]],
    ['the first of equal ones', [512, 512, 512], 512, [1]],
    ['a warm one before a cold one', [512, '512w', 512], 512, [2]],
    ['a fitting cold one before a larger warm one', [512, '1024w'], 512, [1]],
    ['the smallest that is enough', [2048, 1024, 512], 600, [2]],
    ['several for a function larger than one', [512, 512, 512], 1000, [1, 2]],
    ['all of them', [512, 512, 512], 1536, [1, 2, 3]],
    ['two small ones that waste less than a large one', [1024, 512, 128], 600, [2, 3]],
    ['one large one rather than two that waste as much', [512, 512, 1024], 1024, [3]],
    ['different sizes together', [256, 1024, 512], 1500, [2, 3]],
    ['warm ones among several', [256, '256w', '256w'], 512, [2, 3]],
    ['the least', [512], 1, [1]],
  ])('takes %s', (_, sizes, memMiB, nodes) => {
    expect(chooseBlocks(blocks(...sizes), memMiB)).toEqual({ nodes });
  });

  it.each([
    ['there are none', [], 1, 0],
    ['they are too small together', [512, 256], 769, 768],
  ])('says what is left when %s', (_, sizes, memMiB, freeMiB) => {
    expect(chooseBlocks(blocks(...sizes), memMiB)).toEqual({ freeMiB });
  });

  it('wastes no more than any other choice, whatever is free', () => {
    const below = seededRandom();
    for (let round = 0; round < 200; round++) {
      const free = blocks(...Array.from({ length: below(9) }, () => 64 * (1 + below(9))));
      const memMiB = 1 + below(2048);
      const { nodes } = chooseBlocks(free, memMiB);
      const least = sums(free).find((sum) => sum >= memMiB);
      const chosen = nodes && sumOf(free.filter(({ node }) => nodes.includes(node)));
      expect({ round, chosen }).toEqual({ round, chosen: least });
      expect(new Set(nodes).size).toBe(nodes?.length ?? 0);
    }
  });

  it('is quick with many blocks of one size', () => {
    const free = blocks(...Array.from({ length: 64 }, () => 512));
    expect(chooseBlocks(free, 16_384)).toMatchObject({ nodes: { length: 32 } });
  });
});

describe('describeSizes', () => {
  it.each([
    [[], 'none'],
    [[512], '1 × 512 MiB'],
    [[1024, 512, 512], '2 × 512 MiB, 1 × 1024 MiB'],
  ])('of %j', (sizes, text) => expect(describeSizes(blocks(...sizes))).toBe(text));
});
