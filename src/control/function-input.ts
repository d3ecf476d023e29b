/** Makes a function's record of what a caller said, or says what is wrong with it. */
import type { Config } from '../config/index.js';
import { STRATEGY_CHOICES } from './chooser.js';
import { invalid, overLimit } from './errors.js';
import { PLACES, type Place } from './placement.js';
import type { FunctionInput, FunctionRecord } from './types.js';

/** A function's name becomes a folder's name. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const HANDLER = /^[\w$./-]{1,200}\.[A-Za-z_$][\w$]{0,99}$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
/** Environment variables that the platform itself sets in the guest. */
const RESERVED = /^SPARKLER_/;

const DEFAULT_HANDLER = 'app.handler';
const DEFAULT_RUNTIME = 'python3';

/**
 * The record after `input`: what it does not name keeps its value in `before`, or gets its default.
 * @throws SparklerError INVALID_REQUEST, LIMIT_EXCEEDED; `details.field` says where.
 */
export function toRecord(
  input: FunctionInput,
  before: FunctionRecord | undefined,
  config: Config,
  now: number,
): FunctionRecord {
  const defaults = {
    image: config.defaultImage,
    kernel: config.defaultKernel,
    vcpus: config.defaultVcpus,
    memMiB: config.defaultMemMiB,
    runtime: DEFAULT_RUNTIME,
    handler: DEFAULT_HANDLER,
    env: {},
    timeoutMs: config.timeouts.defaultInvocationMs,
    restoreStrategy: config.defaultRestoreStrategy,
    placement: {},
    createdAt: now,
  } as const;
  const said = defined(input);
  const placement = { ...before?.placement, ...defined(input.placement ?? {}) };
  const record = { ...defaults, ...before, ...said, placement, name: input.name, updatedAt: now };
  check(record, config);
  return record;
}

/** Its fields that have a value. */
function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}

function check(record: FunctionRecord, config: Config): void {
  const { limits, timeouts } = config;
  if (!NAME.test(record.name)) {
    throw invalid(
      'func_name',
      'must be 1 to 64 letters, digits, dots, dashes or underscores, starting with a letter or digit',
    );
  }
  whole('vcpu', record.vcpus, limits.maxVcpus);
  whole('mem_size', record.memMiB, limits.maxMemMiB);
  whole('timeout_ms', record.timeoutMs, timeouts.maxInvocationMs);
  // The type says so; a caller in JavaScript may not.
  if (!['python3', 'nodejs'].includes(record.runtime)) {
    throw invalid('runtime', 'must be python3 or nodejs');
  }
  if (!STRATEGY_CHOICES.includes(record.restoreStrategy)) {
    throw invalid('restore_strategy', `must be one of ${STRATEGY_CHOICES.join(', ')}`);
  }
  const { order, maxInstances, maxVms } = record.placement;
  if (order) checkOrder(order);
  if (maxInstances !== undefined) whole('max_instances', maxInstances, limits.maxInstancesPerVm);
  if (maxVms !== undefined) whole('max_vms', maxVms, limits.maxVms);
  if (!HANDLER.test(record.handler) || record.handler.split('/').includes('..')) {
    throw invalid('handler', 'must be file.function, like app.handler');
  }
  checkEnv(record.env, limits.maxEnvBytes);
}

/** @throws SparklerError INVALID_REQUEST */
export function checkOrder(order: readonly Place[]): void {
  const known = order.every((one) => PLACES.includes(one));
  if (order.length > 0 && known && new Set(order).size === order.length) return;
  throw invalid('placement', `must name one or more of ${PLACES.join(', ')}, each once`);
}

/** @throws SparklerError INVALID_REQUEST, LIMIT_EXCEEDED */
export function whole(field: string, value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw invalid(field, `must be a whole number from 1 to ${max}`);
  }
  if (value > max) throw overLimit(field, `is ${value}; at most ${max} is allowed`);
}

function checkEnv(env: Readonly<Record<string, string>>, maxBytes: number): void {
  let bytes = 0;
  for (const [name, value] of Object.entries(env)) {
    if (!ENV_NAME.test(name)) throw invalid(`env/${name}`, 'is not the name of a variable');
    if (RESERVED.test(name)) throw invalid(`env/${name}`, 'is reserved: the platform sets it');
    if (value.includes('\0')) throw invalid(`env/${name}`, 'contains a NUL character');
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 2;
  }
  if (bytes > maxBytes)
    throw overLimit('env', `takes ${bytes} bytes; at most ${maxBytes} are allowed`);
}
