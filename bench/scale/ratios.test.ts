import { describe, expect, it } from 'vitest';
import { rowsOf, verdict, type Sample } from '../report.js';
import { caseName, SIZES, tooLarge, touchName } from './cases.js';
import { caseOrder, ratioName, ratioSamples, SCALE_LIMITS } from './ratios.js';

const of = (name: string, metric: string, ...values: number[]): Sample[] =>
  values.map((value) => ({ case: name, metric, unit: 'ms', value }));

const up = (way: string, state: 'fresh' | 'used', ...values: number[]): Sample[] =>
  of(caseName(1024, way, state), 'up: usable', ...values);

const judged = (samples: readonly Sample[]) =>
  rowsOf(ratioSamples(samples, SIZES)).map((row) => [
    row.case,
    row.metric,
    row.median,
    verdict(row, SCALE_LIMITS),
  ]);

describe('ratios of mechanisms', () => {
  it('are of medians, fresh and used, and say whether use has made them fall', () => {
    const samples = [
      ...up('blocks', 'fresh', 5, 4, 90),
      ...up('virtio-mem', 'fresh', 50, 60, 1),
      ...up('balloon', 'fresh', 499),
      ...up('blocks', 'used', 5),
      ...up('virtio-mem', 'used', 45),
    ];
    expect(judged(samples)).toEqual([
      [ratioName(1024, 'fresh'), 'up: usable: virtio-mem / blocks', 10, 'ok'],
      [ratioName(1024, 'used'), 'up: usable: virtio-mem / blocks', 9, undefined],
      [ratioName(1024, 'used / fresh'), 'up: usable: virtio-mem / blocks', 0.9, 'missed'],
      [ratioName(1024, 'fresh'), 'up: usable: balloon / blocks', 99.8, 'missed'],
    ]);
  });

  it('say nothing where nothing can be compared', () => {
    expect(judged(up('blocks', 'fresh', 5))).toEqual([]);
  });
});

it('tells what populating ahead saves, and what it cannot', () => {
  const touched = (way: string, first: number, faults: number): Sample[] => [
    ...of(touchName(way), 'first touch', first),
    ...of(touchName(way), 'first touch: host faults', faults),
    ...of(touchName(way), 'second touch', 40),
  ];
  const samples = [...touched('blocks', 400, 1000), ...touched('blocks, populated', 300, 11)];
  const name = touchName('compared');
  expect(judged(samples)).toEqual([
    [name, 'host faults: populated / lazily', 0.011, 'missed'],
    [name, 'guest time saved', 100, undefined],
    [name, 'first touch: populated / lazily', 0.75, undefined],
    [name, 'lazily: second touch / first', 0.1, undefined],
  ]);
});

it('lists every case that has a limit', () => {
  const order = caseOrder(SIZES);
  expect(SCALE_LIMITS.filter((limit) => !order.includes(limit.case))).toEqual([]);
});

it.each([
  [512, 1792, /^512 MiB are left out: they need \d+ MiB of the host, which has 1024 MiB$/],
  [512, 3000, undefined],
])('%d MiB need a host that can hold them', (size, enough, why) => {
  if (why) expect(tooLarge(size, 1024)).toMatch(why);
  else expect(tooLarge(size, enough)).toBeUndefined();
});
