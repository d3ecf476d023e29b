/** Figures: panels side by side with one legend; lines, or groups of bars. */
import { type Axis, type Frame, scaleOf, short, xAxis, yAxis } from './axes.js';
import { document, element, label, px } from './svg.js';

/** Told apart by most who do not see all colours (after Okabe and Ito), dark enough on white. */
const COLOURS = ['#7a7a7a', '#56b4e9', '#0072b2', '#009e73', '#a35dbb', '#000000', '#d55e00'];
/** From the second time around on, lines are dashed. */
const DASHES = ['none', '6 3', '2 2'];

const PANEL = { width: 400, height: 280 };
/** Room for the axes and their labels. */
const MARGIN = { left: 72, top: 64, bottom: 52, between: 88, right: 24 };
const LEGEND_WIDTH = 130;
const LEGEND_STEP = 20;

export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

export interface LinePanel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  /** Lines of one name have one colour in all panels. */
  readonly lines: readonly Line[];
}

export interface LineFigure {
  readonly title: string;
  readonly panels: readonly LinePanel[];
  /** Names in the legend; none: no legend. */
  readonly legend: readonly string[];
}

const colourOf = (i: number): string => COLOURS[i % COLOURS.length] ?? '';
const dashOf = (i: number): string => DASHES[Math.floor(i / COLOURS.length)] ?? '1 3';

function pathOf({ points }: Line, panel: LinePanel, frame: Frame): string {
  const x = scaleOf(panel.x, frame.left, frame.left + frame.width);
  const y = scaleOf(panel.y, frame.top + frame.height, frame.top);
  return points.map(([a, b], i) => `${i === 0 ? 'M' : 'L'}${px(x.at(a))} ${px(y.at(b))}`).join('');
}

function panelBody(panel: LinePanel, frame: Frame, legend: readonly string[]): string[] {
  const { left, top, width } = frame;
  return [
    label(panel.title, left + width / 2, top - 10, { 'text-anchor': 'middle' }),
    ...xAxis(panel.x, frame),
    ...yAxis(panel.y, frame),
    ...panel.lines.map((line) => {
      const i = Math.max(0, legend.indexOf(line.name));
      return element('path', {
        d: pathOf(line, panel, frame),
        fill: 'none',
        stroke: colourOf(i),
        'stroke-width': 1.5,
        'stroke-dasharray': dashOf(i),
      });
    }),
  ];
}

function legendBody(names: readonly string[], x: number): string[] {
  return names.flatMap((name, i) => {
    const y = MARGIN.top + 10 + i * LEGEND_STEP;
    const mark = element('line', {
      ...{ x1: x, x2: x + 22, y1: y - 4, y2: y - 4, stroke: colourOf(i) },
      'stroke-width': 3,
      'stroke-dasharray': dashOf(i),
    });
    return [mark, label(name, x + 28, y)];
  });
}

const heading = (title: string): string =>
  label(title, MARGIN.left, 26, { 'font-size': 16, 'font-weight': 'bold' });

const HEIGHT = MARGIN.top + PANEL.height + MARGIN.bottom;

/** @returns an SVG document */
export function lineFigure({ title, panels, legend }: LineFigure): string {
  const step = PANEL.width + MARGIN.between;
  const end = MARGIN.left + panels.length * step - MARGIN.between + MARGIN.right;
  const body = panels.flatMap((panel, i) =>
    panelBody(panel, { left: MARGIN.left + i * step, top: MARGIN.top, ...PANEL }, legend),
  );
  const width = legend.length === 0 ? end : end + LEGEND_WIDTH;
  return document(width, HEIGHT, title, [heading(title), ...body, ...legendBody(legend, end)]);
}

export interface BarFigure {
  readonly title: string;
  readonly y: Axis;
  readonly xLabel: string;
  /** Names of the bars in each group. */
  readonly bars: readonly string[];
  readonly groups: readonly { readonly name: string; readonly values: readonly number[] }[];
}

const BAR_COLOURS = [2, 6, 3];
const GROUP_WIDTH = 110;

/** @returns an SVG document; each bar has its value above it */
export function barFigure({ title, y, xLabel, bars, groups }: BarFigure): string {
  const frame: Frame = {
    ...{ left: MARGIN.left, top: MARGIN.top, height: PANEL.height },
    width: groups.length * GROUP_WIDTH,
  };
  const scale = scaleOf(y, frame.top + frame.height, frame.top);
  const bottom = frame.top + frame.height;
  const barWidth = (GROUP_WIDTH - 18) / bars.length;
  const fill = (i: number): string => colourOf(BAR_COLOURS[i % BAR_COLOURS.length] ?? 0);
  const body = groups.flatMap(({ name, values }, group) => {
    const left = frame.left + group * GROUP_WIDTH + 9;
    return [
      ...values.flatMap((value, i) => {
        const [x, at] = [left + i * barWidth, scale.at(value)];
        return [
          element('rect', {
            ...{ x: x + 1, y: at, width: barWidth - 2, height: bottom - at },
            fill: fill(i),
          }),
          label(short(value), x + barWidth / 2, at - 4, {
            'text-anchor': 'middle',
            'font-size': 10,
          }),
        ];
      }),
      label(name, left + (GROUP_WIDTH - 18) / 2, bottom + 16, { 'text-anchor': 'middle' }),
    ];
  });
  const end = frame.left + frame.width + MARGIN.right;
  const legend = bars.flatMap((name, i) => {
    const at = MARGIN.top + 10 + i * LEGEND_STEP;
    return [
      element('rect', { x: end, y: at - 10, width: 12, height: 12, fill: fill(i) }),
      label(name, end + 18, at),
    ];
  });
  return document(end + LEGEND_WIDTH, HEIGHT, title, [
    heading(title),
    ...yAxis(y, frame),
    ...body,
    element('line', {
      ...{ x1: frame.left, x2: frame.left + frame.width, y1: bottom, y2: bottom },
      stroke: '#666',
    }),
    label(xLabel, frame.left + frame.width / 2, bottom + 36, { 'text-anchor': 'middle' }),
    ...legend,
  ]);
}
