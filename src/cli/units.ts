/** Sizes and times as people write and read them. */
import { SparklerError } from '../errors.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** Three digits that matter: `1.23`, `12.3`, `123`. */
function short(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** `512 B`, `1.50 KiB`, `64.0 MiB`, `2.00 GiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < KIB) return `${bytes} B`;
  if (bytes < MIB) return `${short(bytes / KIB)} KiB`;
  return bytes < GIB ? `${short(bytes / MIB)} MiB` : `${short(bytes / GIB)} GiB`;
}

/** `0.50 ms`, `12.3 ms`, `1.23 s`, `2 min 3 s`. */
export function formatMs(ms: number): string {
  if (ms < 1000) return `${short(ms)} ms`;
  if (ms < 60_000) return `${short(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** How long ago `instant` (RFC 3339) was: `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`. */
export function formatAge(instant: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(instant)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

function usage(field: string, text: string, example: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field}: ${text} is not ${example}.`, { field });
}

const TIME_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000 };

/** Milliseconds of `500ms`, `30s`, `1.5s`, `2m`. @throws SparklerError INVALID_REQUEST */
export function parseTime(text: string, field: string): number {
  const [, value = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|min)$/.exec(text) ?? [];
  const ms = Number(value) * (TIME_UNITS[unit] ?? 0);
  if (!Number.isInteger(ms) || ms < 1) throw usage(field, text, 'a time like 500ms, 30s or 2m');
  return ms;
}

/** MiB of `512`, `512M`, `512MiB`, `2G`, `2GiB`. @throws SparklerError INVALID_REQUEST */
export function parseMemory(text: string, field: string): number {
  const [, value, unit] = /^(\d+) ?(M|MiB|G|GiB)?$/.exec(text) ?? [];
  if (value === undefined) throw usage(field, text, 'a size like 512, 512MiB or 2GiB');
  return Number(value) * (unit?.startsWith('G') ? 1024 : 1);
}

/** A whole number. @throws SparklerError INVALID_REQUEST */
export function parseCount(text: string, field: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usage(field, text, 'a whole number');
  return Number(text);
}
