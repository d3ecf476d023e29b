/** The benchmark functions in real microVMs: cold and from a snapshot, with both of their inputs. */
import { createCipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { InvocationResult } from '../../src/client/index.js';
import { Home, REPOSITORY, type TestDaemon } from '../support/daemon.js';

type Event = Readonly<Record<string, string>>;
type Result = Readonly<Record<string, unknown>>;

interface Benchmark {
  readonly name: string;
  readonly vcpus: number;
  readonly memMiB: number;
  readonly small: Event;
  readonly large: Event;
}

/** For the largest inputs on a busy machine in software emulation, ms. */
const FUNCTION_TIMEOUT_MS = 150_000;
const TEST_TIMEOUT_MS = 300_000;

const FUNCTIONS = join(REPOSITORY, 'functions');
const BENCHMARKS = JSON.parse(
  readFileSync(join(FUNCTIONS, 'benchmarks.json'), 'utf8'),
) as Benchmark[];

const home = new Home();
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
});
afterAll(async () => {
  const code = await daemon.stop();
  const left = home.leftovers();
  home.remove();
  expect(code).toBe(0);
  expect(left).toEqual([]);
});

const input = (name: string, event: Event): Buffer =>
  readFileSync(join(FUNCTIONS, name, event['input_object_key'] ?? ''));

/** The document as Python writes it on one line. */
function onOneLine(pretty: string): string {
  return pretty.trim().replace(/,\n */g, ', ').replace(/\n */g, '');
}

/** The page that the template makes. */
function table(rows: number, columns: number): string {
  const cell = (n: number): string => `<td><span class="column-${n}">${n + 1}</span></td>\n`;
  const row = `<tr>\n${Array.from({ length: columns }, (_, n) => cell(n)).join('')}</tr>\n`;
  return `<table>\n${row.repeat(rows)}</table>\n`;
}

/** The last block of `message` in counter mode, counted from 1; its 16 bytes are whole. */
function encrypted(message: string, length: number): string {
  const counter = Buffer.alloc(16);
  counter.writeUInt32BE(1 + length / 16 - 1, 12);
  const cipher = createCipheriv('aes-128-ctr', "sparkler's key: ", counter);
  return cipher.update(message, 'hex', 'hex');
}

interface Output {
  readonly key: string;
  readonly bytes: number;
  readonly size: readonly number[];
  readonly corner: readonly number[];
}

/** The corner of a picture that is at the top left after each turn, by its strongest colours. */
const CORNERS: Readonly<Record<string, string>> = { 90: 'g', 180: 'b', 270: 'rgb' };

function strongest(corner: readonly number[]): string {
  return ['r', 'g', 'b'].filter((_, channel) => (corner[channel] ?? 0) > 128).join('');
}

function checkImage(result: Result, event: Event): void {
  const [width, height] = event['input_object_key'] === '100kb.jpg' ? [640, 480] : [1920, 1280];
  const outputs = result['outputs'] as Output[];
  expect(outputs.map(({ key }) => key)).toEqual(
    ['90', '180', '270'].map((angle) => `outputimg-${angle}-${event['input_object_key']}`),
  );
  for (const { key, bytes, size, corner } of outputs) {
    const angle = key.split('-')[1] ?? '';
    expect(size).toEqual(angle === '180' ? [width, height] : [height, width]);
    expect(strongest(corner)).toBe(CORNERS[angle]);
    expect(bytes).toBeGreaterThan(10_000);
  }
}

/** What the answer to an event must be. */
const checks: Readonly<Record<string, (result: Result, event: Event) => void>> = {
  hello: (result, event) => {
    expect(result['message']).toBe(`Hello, ${event['name']}!`);
  },
  json: (result, event) => {
    const text = input('json', event).toString();
    const line = onOneLine(text);
    const records = (JSON.parse(text) as unknown[]).length;
    expect(result).toMatchObject({ records, bytes: line.length, crc32: crc32(line) });
  },
  matmul: (result, event) => {
    const n = Number(event['n']);
    expect(result['n']).toBe(n);
    expect(result['error']).toBeLessThan(1e-9);
    // Products of numbers between 0 and 1, each 1/4 on average.
    expect(Math.abs(Number(result['mean']) / n - 0.25)).toBeLessThan(0.02);
  },
  pyaes: (result, event) => {
    const length = Number(event['length_of_message']);
    expect(result).toMatchObject({ length, restored: true });
    expect(result['secret']).toBe(encrypted(String(result['message']), length));
  },
  chameleon: (result, event) => {
    const [rows, columns] = [Number(event['num_of_rows']), Number(event['num_of_cols'])];
    const page = table(rows, columns);
    const expected = { cells: rows * columns, bytes: page.length, crc32: crc32(page) };
    expect(result).toMatchObject(expected);
  },
  compression: (result, event) => {
    const data = input('compression', event);
    expect(result['output_object_key']).toBe('compressed.zip');
    expect(result['unzipped_crc32']).toBe(crc32(data));
    expect(result['bytes']).toBeLessThan(data.length / 5);
  },
  image: checkImage,
  pagerank: (result, event) => {
    const vertices = Number(event['size']);
    // Each vertex brings ten edges, but the first ones have fewer than ten others to go to.
    expect(result).toMatchObject({ vertices, edges: 10 * vertices - 55 });
    expect(result['sum']).toBeCloseTo(1, 9);
    const top = result['top'] as { vertex: number; rank: number; degree: number };
    expect(top.rank).toBeGreaterThan(10 / vertices);
    expect(top.degree).toBeGreaterThan(100);
  },
};

/** The field of an answer that depends on what the function drew at random. */
const DRAWN: Readonly<Record<string, string>> = {
  matmul: 'mean',
  pyaes: 'message',
  pagerank: 'top',
};

/** Invokes and checks the answer; the VM is left. */
async function ask(
  { name }: Benchmark,
  event: Event,
  startKind: string,
  where: object = {},
): Promise<{ answer: InvocationResult; result: Result }> {
  const params = JSON.stringify(event);
  const answer = await daemon.client.invoke({ func_name: name, params, ...where });
  expect(answer.startKind).toBe(startKind);
  const result = JSON.parse(answer.result) as Result;
  expect(result['began']).toBeGreaterThan(0);
  expect(result['ended']).toBeGreaterThanOrEqual(Number(result['began']));
  checks[name]?.(result, event);
  return { answer, result };
}

it.each(BENCHMARKS)(
  '$name with $vcpus vCPUs and $memMiB MiB',
  async (benchmark) => {
    const { name, vcpus, memMiB, small, large } = benchmark;
    await daemon.deploy(`functions/${name}`, {
      func_name: name,
      runtime: 'python3',
      handler: 'app.handler',
      vcpu: vcpus,
      mem_size: memMiB,
      timeout_ms: FUNCTION_TIMEOUT_MS,
    });
    const cold = await ask(benchmark, small, 'cold', { placement: ['cold'] });
    const { ssId } = await daemon.client.snapshots.take({ vmId: cold.answer.vmId });
    await daemon.client.vms.delete(cold.answer.vmId);
    const results: Result[] = [];
    for (const event of [small, small, large]) {
      const clone = await ask(benchmark, event, 'snapshot', { ssId });
      await daemon.client.vms.delete(clone.answer.vmId);
      results.push(clone.result);
    }
    // What a function draws at random is new in each clone.
    const drawn = DRAWN[name];
    if (drawn !== undefined) expect(results[0]?.[drawn]).not.toEqual(results[1]?.[drawn]);
    await daemon.client.snapshots.delete(ssId);
  },
  TEST_TIMEOUT_MS,
);

it('covers every benchmark function', () => {
  expect(BENCHMARKS.map(({ name }) => name).sort()).toEqual(Object.keys(checks).sort());
});
