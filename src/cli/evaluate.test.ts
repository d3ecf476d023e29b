import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cli } from '../../tests/support/cli.js';
import type { AzureReport } from '../evaluation/index.js';

const EXAMPLE = 'examples/azure';
const INVOCATIONS = 'invocations_per_function_md.anon.d01.csv';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-evaluate-'))));
afterEach(() => rmSync(dir, { recursive: true }));

const azure = (...args: string[]) => cli(['evaluate', 'azure', ...args]);

describe('sparkler evaluate azure', () => {
  it('prints a table of the example, and says what it assumed', async () => {
    const { code, stdout, stderr } = await azure(EXAMPLE);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^KEEP-ALIVE +SCALING +COLD STARTS +OF ALL +VERTICAL STARTS +AHEAD/);
    expect(lines).toHaveLength(1 + 7 * 2);
    expect(lines[1]).toMatch(/^none +horizontal +930,028 +100.00 % +0 +0 /);
    expect(lines[8]).toMatch(/^10 min +vertical +1,662 +0.18 % +5,823 +0 +63.0 +53.2 /);
    expect(stderr).toContain('930,028 invocations of 240 functions in 88 applications');
    expect(stderr).toContain('3 functions have no duration');
    expect(stderr).toContain('and 256 MiB for each VM');
  });

  it('prints one document with --json', async () => {
    const args = ['--keep-alive', '5m,histogram', '--vm-memory', '128MiB', '--json'];
    const { code, json } = await azure(EXAMPLE, ...args);
    expect(code).toBe(0);
    const { vmMemoryMiB, trace, results } = json as AzureReport;
    expect(vmMemoryMiB).toBe(128);
    expect(trace).toMatchObject({ functions: 240, invocations: 930_028 });
    expect(results.map(({ policy, scaling }) => `${policy} ${scaling}`)).toEqual([
      ...['5 min horizontal', '5 min vertical', 'histogram horizontal', 'histogram vertical'],
    ]);
    // The starts of instances are the same; what differs is how many need a VM.
    for (const [horizontal, vertical] of [results.slice(0, 2), results.slice(2)]) {
      const starts = vertical!.coldStarts + vertical!.verticalStarts;
      expect(starts).toBe(horizontal!.coldStarts);
      expect(vertical!.vmMinutes).toBeLessThan(horizontal!.vmMinutes);
    }
  });

  it('writes report, series and plots with --out', async () => {
    const out = join(dir, 'day1');
    const { code, stderr } = await azure(EXAMPLE, '--keep-alive', 'none,10m', '--out', out);
    expect(code).toBe(0);
    expect(stderr).toContain(out);
    expect(readdirSync(dir)).toEqual(['day1']);
    expect(readdirSync(out).sort()).toEqual([
      ...['cold-share-cdf.svg', 'cold-starts.svg', 'memory.svg', 'report.json', 'series.csv'],
      ...['trace-cdf.svg', 'vms.svg'],
    ]);
    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as AzureReport;
    const series = readFileSync(join(out, 'series.csv'), 'utf8').trimEnd().split('\n');
    expect(series).toHaveLength(1 + 1440);
    expect(series[0]?.split(',')[5]).toBe('10min horizontal VMs');
    const vms = series.slice(1).map((line) => Number(line.split(',')[5]));
    const result = report.results.find(
      ({ policy, scaling }) => policy === '10 min' && scaling === 'horizontal',
    );
    expect(Math.max(...vms)).toBe(result?.peakVms);
    expect(vms.reduce((sum, value) => sum + value, 0)).toBe(result?.vmMinutes);
    for (const name of readdirSync(out).filter((file) => file.endsWith('.svg'))) {
      const svg = readFileSync(join(out, name), 'utf8');
      expect(svg, name).toMatch(/^<svg .*<\/svg>\n$/s);
      expect(svg, name).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  it('leaves nothing behind when a file is not right', async () => {
    cpSync(EXAMPLE, join(dir, 'trace'), { recursive: true });
    const file = join(dir, 'trace', INVOCATIONS);
    writeFileSync(file, readFileSync(file).subarray(0, -100));
    const result = await azure(join(dir, 'trace'), '--out', join(dir, 'out'));
    expect(result.code).toBe(2);
    expect(result.stdout).toBe('');
    expect(result.stderr).toContain(`${file}, line 241: `);
    expect(result.stderr).toContain('INVALID_TRACE');
    expect(readdirSync(dir)).toEqual(['trace']);
  });

  it('does not begin when --out is taken', async () => {
    writeFileSync(join(dir, 'mine'), '');
    const { code, stderr } = await azure(EXAMPLE, '--out', dir);
    expect(code).toBe(2);
    expect(stderr).toContain('is not empty');
    expect(stderr).not.toContain('reading');
    expect(readdirSync(dir)).toEqual(['mine']);
  });

  it.each([
    [['--keep-alive', 'often'], '--keep-alive: "often" is no policy'],
    [['--vm-memory', 'much'], '--vm-memory: much is not'],
    [['--day', 'monday'], '--day: monday is not a whole number'],
    [['--day', '3'], 'd03.csv does not exist'],
    [['--memory', '/nowhere.csv'], '/nowhere.csv does not exist'],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await azure(EXAMPLE, ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

it('the example is what its script makes', () => {
  execFileSync(process.execPath, [join(EXAMPLE, 'generate.mjs'), '--out', dir]);
  const names = readdirSync(dir);
  expect(names).toHaveLength(3);
  for (const name of names) {
    expect(readFileSync(join(dir, name)).equals(readFileSync(join(EXAMPLE, name))), name).toBe(
      true,
    );
  }
});
