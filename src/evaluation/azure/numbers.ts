/** Fields that are numbers. */
import { badTrace } from './csv.js';

/** More invocations of one function in a minute are taken for damage. */
const MAX_COUNT = 1e9;
const SHOWN_CHARS = 40;

export const quoted = (text: string): string => `"${text.slice(0, SHOWN_CHARS)}"`;

const ZERO = '0'.charCodeAt(0);

/** A count's digits; NaN for anything else. Not `Number`, which takes " 1", "0x1" and "1e3" too. */
function digits(text: string): number {
  if (text.length === 0 || text.length > 10) return NaN;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** A count of events. @throws SparklerError INVALID_TRACE */
export function parseCountField(text: string, file: string, line: number, column: string): number {
  if (text === '0') return 0;
  const value = digits(text);
  if (value <= MAX_COUNT) return value;
  throw badTrace(
    file,
    line,
    `${column} is ${quoted(text)}, no whole number from 0 to ${MAX_COUNT}.`,
  );
}

/** A number, negative too. @throws SparklerError INVALID_TRACE */
export function parseNumberField(text: string, file: string, line: number, column: string): number {
  const value = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (Number.isFinite(value)) return value;
  throw badTrace(file, line, `${column} is ${quoted(text)}, no number.`);
}
