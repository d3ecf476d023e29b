/** Rows of a CSV file, one after the other, each with its line; what is wrong with it has a code. */
import { createReadStream } from 'node:fs';
import Papa from 'papaparse';
import { isErrno, SparklerError } from '../../errors.js';

/** A line of the data set has up to some 16 KB; what has no line ends is no such file. */
const MAX_LINE_BYTES = 256 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** An error in a file's content. */
export function badTrace(
  file: string,
  line: number,
  problem: string,
  cause?: unknown,
): SparklerError {
  return new SparklerError('INVALID_TRACE', `${file}, line ${line}: ${problem}`, {}, cause);
}

export interface CsvRow {
  readonly line: number;
  readonly fields: readonly string[];
}

function checkFields(file: string, { line, fields }: CsvRow, header: readonly string[]): void {
  if (fields.length === header.length) return;
  const what = fields.length < header.length ? 'it is cut' : 'there are too many';
  throw badTrace(
    file,
    line,
    `${fields.length} fields instead of ${header.length}: ${what}. Download or unpack the file again.`,
  );
}

function checkHeader(file: string, { line, fields }: CsvRow, header: readonly string[]): void {
  const at = header.findIndex((name, i) => i < fields.length && fields[i] !== name);
  if (at < 0 && fields.length === header.length) return;
  const problem =
    at < 0
      ? `the header has ${fields.length} columns instead of ${header.length}`
      : `column ${at + 1} of the header is "${(fields[at] ?? '').slice(0, 40)}" instead of "${header[at] ?? ''}"`;
  throw badTrace(
    file,
    line,
    `${problem}. It is not this file of the Azure Functions 2019 data set.`,
  );
}

function readable(error: unknown, file: string): unknown {
  for (const [code, problem] of [
    ['ENOENT', 'does not exist'],
    ['EISDIR', 'is a folder'],
    ['EACCES', 'may not be read'],
  ] as const) {
    if (isErrno(error, code)) {
      return new SparklerError('INVALID_REQUEST', `${file} ${problem}.`, {}, error);
    }
  }
  return error;
}

/** The file in pieces that end with a line's end. The data set has no line ends within fields. */
async function* linesOf(file: string): AsyncGenerator<{ text: string; line: number }> {
  const source = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  let rest: Buffer = Buffer.alloc(0);
  let line = 1;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const end = chunk.lastIndexOf('\n') + 1;
    if (end > 0) {
      const text = Buffer.concat([rest, chunk.subarray(0, end)]).toString();
      yield { text, line };
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) line++;
      rest = chunk.subarray(end);
    } else {
      rest = Buffer.concat([rest, chunk]);
    }
    if (rest.length > MAX_LINE_BYTES) {
      throw badTrace(file, line, `it has more than ${MAX_LINE_BYTES} bytes. It is no CSV.`);
    }
  }
  if (rest.length > 0) yield { text: rest.toString(), line };
}

const BYTE_ORDER_MARK = '\uFEFF';

function* rowsIn(file: string, text: string, firstLine: number): Generator<CsvRow> {
  const plain = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  const newline = plain.includes('\r\n') ? '\r\n' : '\n';
  const { data, errors } = Papa.parse<string[]>(plain, { delimiter: ',', newline });
  const [wrong] = errors;
  if (wrong) {
    const { row = 0, message } = wrong;
    throw badTrace(file, firstLine + row, `it is no CSV: ${message}.`);
  }
  for (const [i, fields] of data.entries()) {
    // An empty line, or what follows the last line's end.
    if (fields.length > 1 || fields[0] !== '') yield { line: firstLine + i, fields };
  }
}

/**
 * The rows below the header, which must be `header`. Only a piece of the file is in memory.
 * @throws SparklerError INVALID_TRACE, INVALID_REQUEST (no such file), or the signal's reason
 */
export async function* csvRows(
  file: string,
  header: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<CsvRow> {
  let headed = false;
  try {
    for await (const { text, line } of linesOf(file)) {
      signal.throwIfAborted();
      for (const row of rowsIn(file, text, line)) {
        if (headed) {
          checkFields(file, row, header);
          yield row;
        } else {
          checkHeader(file, row, header);
          headed = true;
        }
      }
    }
  } catch (error) {
    throw readable(error, file);
  }
  if (!headed) throw badTrace(file, 1, 'the file is empty.');
}
