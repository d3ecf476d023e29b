#!/usr/bin/env node
/**
 * Writes a day in the form of the Azure Functions 2019 data set: made up, the same for the same seed.
 *
 *   node examples/azure/generate.mjs [--functions N] [--seed N] [--day N] [--out FOLDER] [--dense]
 *
 * With --dense every function is invoked in every minute: more than any real day.
 *
 * Durations and memory follow the distributions that Shahrad et al. fitted to the real ones
 * ("Serverless in the Wild", USENIX ATC 2020): log-normal, and Burr. How often functions are
 * invoked, and in which patterns, only resembles them. Hashes are no hashes of anything.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, openSync, closeSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const MINUTES = 1440;
const { values } = parseArgs({
  options: {
    functions: { type: 'string', default: '240' },
    seed: { type: 'string', default: '2019' },
    day: { type: 'string', default: '1' },
    dense: { type: 'boolean', default: false },
    out: { type: 'string', default: import.meta.dirname },
  },
});

let state = Number(values.seed) >>> 0;
/** From 0 up to, not including, 1 (Mulberry32). */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const between = (low, high) => low + random() * (high - low);
const pick = (items) => items[Math.floor(random() * items.length)];
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Whole numbers with the mean `mean`; beyond 30 the normal distribution is near enough. */
function poisson(mean) {
  if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal()));
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = random(); product > limit; product *= random()) count++;
  return count;
}

const hash = (text) => createHash('sha256').update(`${values.seed} ${text}`).digest('hex');

/** Invocations a minute, on average: from a few a day to hundreds, rarely thousands. */
const rate = () => Math.exp(between(-6.5, 1) + (random() < 0.1 ? between(0, 6) : 0));

/** Counts of one function, by its trigger. */
function countsOf(trigger) {
  const counts = new Array(MINUTES).fill(0);
  if (trigger === 'timer') {
    const period = pick([1, 5, 5, 10, 15, 15, 30, 60, 60, 240, 720]);
    for (let i = Math.floor(random() * period); i < MINUTES; i += period) counts[i] = 1;
    return counts;
  }
  const mean = values.dense ? 10 * rate() : rate();
  if (trigger === 'queue' || trigger === 'orchestration') {
    // Long silence, then many at once.
    for (let at = 0; at < MINUTES; at += 1 + Math.floor(-Math.log(1 - random()) * 90)) {
      for (let i = at; i < Math.min(MINUTES, at + 6); i++) counts[i] = poisson(mean * 15);
    }
    return counts;
  }
  // People's day: most around 14:00, a quarter of it at night.
  const swing = trigger === 'http' ? 0.6 : between(0, 0.4);
  for (let i = 0; i < MINUTES; i++) {
    counts[i] = poisson(mean * (1 + swing * Math.cos((2 * Math.PI * (i - 840)) / MINUTES)));
  }
  return values.dense ? counts.map((count) => count + 1) : counts;
}

/** Shares of triggers among functions, as the paper has them. */
const TRIGGERS = [
  ['http', 0.55],
  ['timer', 0.16],
  ['queue', 0.15],
  ['orchestration', 0.07],
  ['storage', 0.03],
  ['event', 0.02],
  ['others', 0.02],
];
function trigger() {
  let left = random();
  if (values.dense) return 'http';
  return (TRIGGERS.find(([, share]) => (left -= share) < 0) ?? TRIGGERS[0])[0];
}

/** Average of an execution, ms: log-normal, seconds; none beyond Azure's own limit of 10 minutes. */
const durationMs = () => Math.min(600_000, Math.round(1000 * Math.exp(-0.38 + 2.36 * normal())));
/** Instances of one function that are busy at once, at most. */
const MAX_BUSY = 50;
/** Average memory of an application, MiB: Burr. */
const memoryMb = () =>
  Math.min(1536, Math.round(107.083 * ((1 - random()) ** (-1 / 0.221) - 1) ** (1 / 11.652)));

const range = (spread, value, shares) =>
  shares.map((share) => Math.round(value * (1 + spread * (share - 0.5))));

mkdirSync(values.out, { recursive: true });
const day = values.day.padStart(2, '0');
const open = (name) => openSync(join(values.out, `${name}.anon.d${day}.csv`), 'w');
const invocations = open('invocations_per_function_md');
const durations = open('function_durations_percentiles');
const memory = open('app_memory_percentiles');
const write = (file, fields) => writeSync(file, `${fields.join(',')}\n`);

const key = ['HashOwner', 'HashApp', 'HashFunction'];
const percentiles = [0, 1, 25, 50, 75, 99, 100];
const memoryPercentiles = [1, 5, 25, 50, 75, 95, 99, 100];
write(invocations, [...key, 'Trigger', ...Array.from({ length: MINUTES }, (_, i) => i + 1)]);
write(durations, [
  ...[...key, 'Average', 'Count', 'Minimum', 'Maximum'],
  ...percentiles.map((percent) => `percentile_Average_${percent}`),
]);
write(memory, [
  ...['HashOwner', 'HashApp', 'SampleCount', 'AverageAllocatedMb'],
  ...memoryPercentiles.map((percent) => `AverageAllocatedMb_pct${percent}`),
]);

const wanted = Number(values.functions);
for (let made = 0, app = 0; made < wanted; app++) {
  const owner = hash(`owner ${Math.floor(app / 3)}`);
  const appHash = hash(`app ${app}`);
  // Half of all applications have one function, few have dozens.
  const functions = Math.min(wanted - made, Math.ceil((1 - random()) ** -0.7 - 0.5), 40);
  let samples = 0;
  for (let i = 0; i < functions; i++, made++) {
    const ids = [owner, appHash, hash(`function ${made}`)];
    const kind = trigger();
    const counts = countsOf(kind);
    const count = counts.reduce((sum, value) => sum + value, 0);
    samples += Math.min(count, MINUTES);
    write(invocations, [...ids, kind, ...counts]);
    // Some functions have no row, as in the real files.
    if (count === 0 || random() < 0.01) continue;
    // What is invoked very often runs briefly, or one function would outweigh all others.
    const most = Math.floor((MAX_BUSY * 60_000) / Math.max(...counts));
    const average = Math.min(durationMs(), most);
    const spread = range(0.6, average, [0, 0.1, 0.35, 0.5, 0.65, 0.9, 1]);
    write(durations, [...ids, average, count, spread[0], spread[6], ...spread]);
  }
  if (samples === 0 || random() < 0.05) continue;
  const average = memoryMb();
  const spread = range(0.3, average, [0, 0.1, 0.35, 0.5, 0.65, 0.85, 0.95, 1]);
  write(memory, [owner, appHash, samples, average, ...spread]);
}
for (const file of [invocations, durations, memory]) closeSync(file);
