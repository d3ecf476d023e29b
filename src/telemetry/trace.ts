import { randomBytes } from 'node:crypto';

/** Length of a trace id, bytes: W3C Trace Context's and Zipkin's. */
const TRACE_ID_BYTES = 16;

/** A new trace id, lower-case hexadecimal. */
export function newTraceId(): string {
  return randomBytes(TRACE_ID_BYTES).toString('hex');
}
