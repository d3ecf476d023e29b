/** Reading JSON payloads. Everything from a guest is checked: the agent is ours, what feeds it is not. */
import { SparklerError } from '../errors.js';

/** The longest text taken over from a guest's error, in characters; the rest is cut off. */
const MAX_TEXT = 64 * 1024;

export function fieldsOf(name: string, payload: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(payload.toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below, without the payload: it may be long and is not the reader's.
  }
  throw malformed(name);
}

export function malformed(name: string): SparklerError {
  return new SparklerError(
    'GUEST_PROTOCOL',
    `The guest agent broke the protocol: a ${name} frame that cannot be understood.`,
  );
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_TEXT) : '';
}

export function count(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw malformed(name);
}
