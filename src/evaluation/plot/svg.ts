/** SVG as text: elements with attributes, escaped. */

type Attributes = Readonly<Record<string, string | number>>;

const ESCAPED: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};
const escaped = (text: string): string => text.replace(/[&<>"]/g, (char) => ESCAPED[char] ?? '');

/** Tenths of a pixel are finer than anybody sees. */
export const px = (value: number): string => String(Math.round(value * 10) / 10);

/** An element; `children` are elements already. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const listed = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === 'number' ? px(value) : escaped(value)}"`,
  );
  const open = `<${name}${listed.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${name}>`;
}

/** Text at a point; `attributes` say how it is anchored. */
export function label(text: string, x: number, y: number, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escaped(text));
}

/** A whole document on white. */
export function document(width: number, height: number, title: string, body: string[]): string {
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    ...{ width, height, viewBox: `0 0 ${px(width)} ${px(height)}` },
    'font-family': 'DejaVu Sans, Verdana, sans-serif',
    'font-size': 12,
    fill: '#222',
  };
  return `${element(
    'svg',
    attributes,
    element('title', {}, escaped(title)),
    element('rect', { width, height, fill: '#fff' }),
    ...body,
  )}\n`;
}
