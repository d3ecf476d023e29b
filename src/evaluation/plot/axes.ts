/** Scales and axes of a panel. */
import { scaleLinear, scaleLog } from 'd3-scale';
import { element, label } from './svg.js';

export interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Axis {
  /** What it shows, with the unit. */
  readonly label: string;
  readonly kind: 'linear' | 'log';
  readonly domain: readonly [number, number];
  /** Where lines and numbers stand; absent: at round values. */
  readonly ticks?: readonly number[];
  /** A tick's text; absent: `1.5k`, `20M`. */
  readonly format?: (value: number) => string;
}

const GRID = '#e4e4e4';
const LINE = '#666';
const TICK_LABEL_PX = 11;
const MAX_TICKS = 6;

const SUFFIXES = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const;

/** `0.5`, `20`, `1.5k`, `20M`: up to three digits that matter. */
export function short(value: number): string {
  const digits = Number(value.toPrecision(3));
  const [unit, suffix] = SUFFIXES.find(([least]) => Math.abs(digits) >= least) ?? [1, ''];
  return `${Number((digits / unit).toPrecision(3))}${suffix}`;
}

/** A power of ten at or below, and at or above, what is shown: never one and the same. */
export function decades(min: number, max: number): [number, number] {
  const low = Math.floor(Math.log10(min));
  const high = Math.max(Math.ceil(Math.log10(max)), low + 1);
  return [10 ** low, 10 ** high];
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Pixels of an axis's values; what lies outside is put on its edge. */
export function scaleOf(axis: Axis, from: number, to: number): Scale {
  const [low, high] = axis.domain;
  const make = axis.kind === 'log' ? scaleLog : scaleLinear;
  const scale = make().domain([low, high]).range([from, to]).clamp(true);
  const round = scale.ticks(MAX_TICKS);
  if (axis.kind === 'log') {
    // The scale gives those between the powers of ten, too.
    const powers = round.filter((value) => Number.isInteger(log10(value)));
    return { at: (value) => scale(value), ticks: axis.ticks ?? powers };
  }
  return { at: (value) => scale(value), ticks: axis.ticks ?? round };
}

/** Exact for powers of ten, which `Math.log10` of 1000 or 1e-3 need not be. */
const log10 = (value: number): number => Number(Math.log10(value).toFixed(9));

export function xAxis(axis: Axis, frame: Frame): string[] {
  const { left, top, width, height } = frame;
  const { at, ticks } = scaleOf(axis, left, left + width);
  const bottom = top + height;
  const format = axis.format ?? short;
  return [
    ...ticks.flatMap((tick) => [
      element('line', { x1: at(tick), x2: at(tick), y1: top, y2: bottom, stroke: GRID }),
      label(format(tick), at(tick), bottom + 16, {
        'text-anchor': 'middle',
        'font-size': TICK_LABEL_PX,
      }),
    ]),
    element('line', { x1: left, x2: left + width, y1: bottom, y2: bottom, stroke: LINE }),
    label(axis.label, left + width / 2, bottom + 36, { 'text-anchor': 'middle' }),
  ];
}

export function yAxis(axis: Axis, frame: Frame): string[] {
  const { left, top, width, height } = frame;
  const { at, ticks } = scaleOf(axis, top + height, top);
  const format = axis.format ?? short;
  const [x, y] = [left - 48, top + height / 2];
  return [
    ...ticks.flatMap((tick) => [
      element('line', { x1: left, x2: left + width, y1: at(tick), y2: at(tick), stroke: GRID }),
      label(format(tick), left - 7, at(tick) + 4, {
        'text-anchor': 'end',
        'font-size': TICK_LABEL_PX,
      }),
    ]),
    element('line', { x1: left, x2: left, y1: top, y2: top + height, stroke: LINE }),
    label(axis.label, x, y, {
      'text-anchor': 'middle',
      transform: `rotate(-90 ${x} ${y})`,
    }),
  ];
}
