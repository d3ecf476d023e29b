/** What the host knows of one instance, and the errors that its end or its answers become. */
import { SparklerError, type ErrorCode, type ErrorDetails } from '../errors.js';
import type { Call } from './call.js';
import { LogTail } from './log-tail.js';
import type { ExitInfo, RuntimeError } from './messages.js';

/** What an invocation yields. */
export interface InvokeResult {
  /** The handler's result, as its runtime wrote it. */
  readonly json: Buffer;
  /** The handler alone, measured in the guest: without reading the event and writing the result. */
  readonly handlerMs: number;
  /** What was printed during this invocation: its last bytes, with a note when there were more. */
  readonly logs: string;
}

/** How a start ends well. */
export interface StartResult {
  readonly instance: number;
  /** From the process's creation until its handler was loaded, measured in the guest. */
  readonly initMs: number;
  /** It came from the zygote: its handler was loaded already. */
  readonly fromZygote: boolean;
}

export type Pending =
  | { readonly kind: 'start'; readonly request: number; readonly call: Call<StartResult> }
  | { readonly kind: 'invoke'; readonly request: number; readonly call: Call<InvokeResult> };

/** The runtime's own frames in a stack are of no use to the function's author. */
const BOOTSTRAP_LINE = /^.*runtimes\/[a-z0-9]+\/bootstrap\.[a-z]+.*\n?/gm;
/** The longest stack kept, in bytes. */
const STACK_BYTES = 64 * 1024;
const MIB = 1024 * 1024;

export class Instance {
  readonly number: number;
  readonly gone: Call<ExitInfo>;
  /** The one thing that it is doing: starting or an invocation. */
  pending: Pending | undefined;
  /** Set when its time is up: its end then means HANDLER_TIMEOUT. */
  timedOutAfterMs: number | undefined;
  /** Set by FAILED: its end then is no surprise. */
  #logs: LogTail;
  #stack: LogTail;
  readonly #logBytes: number;

  constructor(number: number, logBytes: number, gone: Call<ExitInfo>) {
    this.number = number;
    this.gone = gone;
    this.#logBytes = logBytes;
    this.#logs = new LogTail(logBytes);
    this.#stack = new LogTail(STACK_BYTES);
  }

  /** From here on logs belong to `pending`. */
  begin(pending: Pending): void {
    this.pending = pending;
    this.#logs = new LogTail(this.#logBytes);
  }

  log(chunk: Buffer): void {
    if (this.pending !== undefined) this.#logs.push(chunk);
  }

  stack(chunk: Buffer): void {
    this.#stack.push(chunk);
  }

  get logs(): string {
    return this.#logs.toString();
  }

  /** The error of a FAILED or an ERROR. */
  runtimeError(error: RuntimeError): SparklerError {
    const code = codeOf(error);
    const message =
      code === 'HANDLER_FAILED' ? `${error.errorType}: ${error.message}` : error.message;
    return new SparklerError(code, message, {
      errorType: error.errorType,
      ...(error.stack === '' ? {} : { stack: error.stack }),
      ...this.#details(),
    });
  }

  /** What the end of the instance means to what it was doing. */
  exitError(exit: ExitInfo): SparklerError {
    const doing = this.pending?.kind === 'start' ? 'loading the handler' : 'an invocation';
    if (this.timedOutAfterMs !== undefined) return this.timeoutError(this.timedOutAfterMs);
    if (exit.oom) return this.#outOfMemory(doing, exit.limitBytes);
    return new SparklerError(
      'HANDLER_EXITED',
      `The function's process ended during ${doing}: ${describeExit(exit)}.`,
      this.#details(),
    );
  }

  #outOfMemory(doing: string, limitBytes: number | null): SparklerError {
    const limitMiB = limitBytes === null ? undefined : Math.floor(limitBytes / MIB);
    const limit = limitMiB === undefined ? 'its VM has' : `its limit of ${limitMiB} MiB`;
    return new SparklerError(
      'HANDLER_OUT_OF_MEMORY',
      `The function needed more memory than ${limit} during ${doing} and was ended. ` +
        'Deploy it with a larger mem_size, or let it use less.',
      { ...this.#details(), ...(limitMiB === undefined ? {} : { limitMiB }) },
    );
  }

  timeoutError(ms: number): SparklerError {
    const doing = this.pending?.kind === 'start' ? 'load its handler' : 'answer';
    return new SparklerError(
      'HANDLER_TIMEOUT',
      `The function did not ${doing} within ${ms} ms and was ended.`,
      this.#details(),
    );
  }

  #details(): ErrorDetails {
    const stack = this.#stack.toString().replace(BOOTSTRAP_LINE, '');
    const logs = this.logs;
    return {
      ...(stack === '' ? {} : { stack }),
      ...(logs === '' ? {} : { logs }),
      ...(this.pending?.kind === 'start' ? { step: 'start-instance' } : {}),
    };
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  'not-found': 'HANDLER_NOT_FOUND',
  handler: 'HANDLER_FAILED',
  result: 'RESULT_NOT_JSON',
  size: 'RESULT_TOO_LARGE',
  runtime: 'GUEST_NOT_READY',
  agent: 'VM_WRONG_STATE',
};

function codeOf(error: RuntimeError): ErrorCode {
  return CODES[error.kind] ?? 'GUEST_PROTOCOL';
}

function describeExit(exit: ExitInfo): string {
  if (exit.signal !== null) return `signal ${exit.signal}`;
  return exit.code === null ? 'it never started' : `exit code ${exit.code}`;
}
