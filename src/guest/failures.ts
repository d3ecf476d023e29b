/** What goes wrong between the host and a guest. */
import { SparklerError } from '../errors.js';

export function protocol(what: string): SparklerError {
  return new SparklerError('GUEST_PROTOCOL', `The guest agent broke the protocol: ${what}.`);
}

export function notReady(what: string, step: string): SparklerError {
  return new SparklerError('GUEST_NOT_READY', `The guest ${what}.`, { step });
}

export function died(cause?: unknown): SparklerError {
  return new SparklerError('VM_DIED', 'The VM ended: the channel to its guest closed.', {}, cause);
}

export function wrongResult(json: Buffer, limit: number): SparklerError | undefined {
  if (json.length > limit) {
    const message = `The result is ${json.length} bytes of JSON; at most ${limit} are allowed.`;
    return new SparklerError('RESULT_TOO_LARGE', message);
  }
  try {
    JSON.parse(json.toString());
    return undefined;
  } catch (error) {
    const message = 'What the handler returned is not JSON.';
    return new SparklerError('RESULT_NOT_JSON', message, {}, error);
  }
}
