/** Errors that more than one use case throws. */
import { SparklerError } from '../errors.js';
import { lastBytes } from './ring.js';

export const notFound = {
  function: (name: string) =>
    new SparklerError('FUNCTION_NOT_FOUND', `There is no function named ${name}.`, {
      field: 'func_name',
    }),
  vm: (vmId: string, why?: string) =>
    new SparklerError('VM_NOT_FOUND', `There is no VM ${vmId}${why ? `: ${why}` : ''}.`, {
      field: 'vmId',
    }),
  snapshot: (ssId: string) =>
    new SparklerError('SNAPSHOT_NOT_FOUND', `There is no snapshot ${ssId}.`, { field: 'ssId' }),
};

export function invalid(field: string, reason: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field} ${reason}.`, { field });
}

export function overLimit(field: string, reason: string): SparklerError {
  return new SparklerError('LIMIT_EXCEEDED', `${field} ${reason}.`, { field });
}

/** What the guest printed when its kernel gave up. */
const PANIC = 'Kernel panic';

/**
 * An error about a guest, with the console's last lines. A guest that did not become ready because
 * its kernel panicked is said as such.
 */
export function withConsole(error: SparklerError, console: string, limit: number): SparklerError {
  const shown = lastBytes(console, limit);
  const early = error.code === 'GUEST_NOT_READY' || error.code === 'VM_DIED';
  const details = { ...error.details, console: shown };
  if (!early || !console.includes(PANIC)) {
    return new SparklerError(error.code, error.message, details, error.cause);
  }
  const line =
    console
      .split('\n')
      .find((text) => text.includes(PANIC))
      ?.trim() ?? PANIC;
  return new SparklerError(
    'GUEST_PANICKED',
    `The guest's kernel panicked: ${line}`,
    details,
    error,
  );
}
