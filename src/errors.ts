/**
 * Every error a user can meet: its code, its HTTP status, whose fault it is, and whether the same
 * request may succeed later. docs/errors.md lists the same table; a test keeps the two together.
 */

/** Who can do something about it. `guest`: the image or kernel inside the VM. */
export type Fault = 'caller' | 'function' | 'guest' | 'host' | 'platform';

interface ErrorKind {
  readonly status: number;
  readonly fault: Fault;
  readonly retryable: boolean;
}

const caller = (status: number): ErrorKind => ({ status, fault: 'caller', retryable: false });
const fn = (): ErrorKind => ({ status: 422, fault: 'function', retryable: false });
const guest = (): ErrorKind => ({ status: 424, fault: 'guest', retryable: true });
const host = (status: number): ErrorKind => ({ status, fault: 'host', retryable: true });

export const ERROR_KINDS = {
  // The request is wrong as it stands.
  INVALID_REQUEST: caller(400),
  INVALID_PARAMS: caller(400),
  INVALID_ARCHIVE: caller(400),
  INVALID_CONFIG: caller(400),
  INVALID_TRACE: caller(400),
  UNSUPPORTED_FIELD: caller(400),
  PATH_NOT_ALLOWED: caller(400),
  MEMORY_TOO_SMALL: caller(400),
  LIMIT_EXCEEDED: caller(400),
  HOST_NOT_ALLOWED: caller(403),
  ORIGIN_NOT_ALLOWED: caller(403),
  ROUTE_NOT_FOUND: caller(404),
  FUNCTION_NOT_FOUND: caller(404),
  IMAGE_NOT_FOUND: caller(404),
  KERNEL_NOT_FOUND: caller(404),
  VM_NOT_FOUND: caller(404),
  SNAPSHOT_NOT_FOUND: caller(404),
  METHOD_NOT_ALLOWED: caller(405),
  REQUEST_TIMEOUT: { status: 408, fault: 'caller', retryable: true },
  UNSUPPORTED_MEDIA_TYPE: caller(415),
  BODY_TOO_LARGE: caller(413),
  ARCHIVE_TOO_LARGE: caller(413),
  HEADERS_TOO_LARGE: caller(431),
  // The request is fine; what it names is in the wrong state.
  FUNCTION_HAS_NO_CODE: caller(409),
  FUNCTION_IN_USE: caller(409),
  FUNCTION_MISMATCH: caller(409),
  SNAPSHOT_IN_USE: caller(409),
  SNAPSHOT_UNUSABLE: caller(409),
  VM_WRONG_STATE: caller(409),
  OPERATION_UNSUPPORTED: caller(409),
  NO_PLACE: { status: 409, fault: 'caller', retryable: true },
  FUNCTION_NOT_FROZEN: { status: 409, fault: 'function', retryable: true },
  // The function did it.
  HANDLER_NOT_FOUND: fn(),
  HANDLER_FAILED: fn(),
  HANDLER_EXITED: fn(),
  HANDLER_OUT_OF_MEMORY: fn(),
  HANDLER_TIMEOUT: fn(),
  RESULT_NOT_JSON: fn(),
  RESULT_TOO_LARGE: fn(),
  // The guest did it: the answer carries the console's last lines.
  GUEST_NOT_READY: guest(),
  GUEST_PANICKED: guest(),
  GUEST_PROTOCOL: guest(),
  VM_DIED: guest(),
  RESIZE_TIMED_OUT: guest(),
  // The host is short of something.
  STORAGE_FULL: host(409),
  NO_MEMORY_BLOCK: host(409),
  TOO_MANY_VMS: host(429),
  TOO_MANY_REQUESTS: host(429),
  HOST_MEMORY_FULL: host(429),
  DEPENDENCY_MISSING: { status: 500, fault: 'host', retryable: false },
  DATA_IN_USE: { status: 500, fault: 'host', retryable: false },
  VMM_FAILED: host(500),
  PAGE_SERVER_FAILED: host(503),
  IMAGE_BUILD_FAILED: host(500),
  SHUTTING_DOWN: host(503),
  // Ours.
  DAEMON_UNREACHABLE: { status: 503, fault: 'host', retryable: true },
  INTERNAL: { status: 500, fault: 'platform', retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

/** What an error may carry beside its message; every field is optional and goes over the wire. */
export interface ErrorDetails {
  /** The request field that is wrong, as a path: `mem_size`, `body/params`. */
  readonly field?: string;
  /** The function's own stack trace, as its runtime printed it. */
  readonly stack?: string;
  /** The function's own error type: `ValueError`. */
  readonly errorType?: string;
  /** The guest console's last lines. */
  readonly console?: string;
  /** The last lines that the function wrote to stdout and stderr. */
  readonly logs?: string;
  /** After so many seconds the same request is worth another try. */
  readonly retryAfterS?: number;
  /** The step that failed: `boot`, `restore`, `start-instance`. */
  readonly step?: string;
  /** The memory that the function was limited to, MiB. */
  readonly limitMiB?: number;
}

/** The one error class. `cause` keeps what the system said; it is logged, never sent. */
export class SparklerError extends Error {
  override readonly name = 'SparklerError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }
}

/** The error as it goes over the wire: the original platform's `{message}` and more. */
export interface WireError extends ErrorDetails {
  readonly message: string;
  readonly code: ErrorCode;
  readonly fault: Fault;
  readonly retryable: boolean;
}

export function toWire(error: SparklerError): WireError {
  const { fault, retryable } = error.kind;
  return { message: error.message, code: error.code, fault, retryable, ...error.details };
}

/** Wraps what is not ours yet: a full disk is said as such, anything else is INTERNAL. */
export function asSparklerError(error: unknown): SparklerError {
  if (error instanceof SparklerError) return error;
  if (isErrno(error, 'ENOSPC') || isErrno(error, 'EDQUOT') || isErrno(error, 'SQLITE_FULL')) {
    return new SparklerError(
      'STORAGE_FULL',
      'The disk of the data folder is full. Free some space or delete snapshots, then try again.',
      {},
      error,
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new SparklerError('INTERNAL', `Unexpected failure: ${reason}`, {}, error);
}

/** True when `error` carries the system's error code `code`, as Node.js and SQLite report it. */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
