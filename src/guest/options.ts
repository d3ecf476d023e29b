import type { ExitInfo } from './messages.js';

/** Limits of waiting, in milliseconds, and of what is kept, in bytes. */
export interface GuestOptions {
  /** From the session's creation to HELLO. */
  readonly helloTimeoutMs: number;
  /** From START until the handler is loaded; then the instance is ended. */
  readonly startTimeoutMs: number;
  /** From `restore()` to RESTORED; the guest's CPUs must be resumed within it. */
  readonly restoreTimeoutMs: number;
  /** How long the end of an instance may take once it was asked for. */
  readonly exitTimeoutMs: number;
  /** From a question to the agent itself (ping, memory, proof) to its answer. */
  readonly pingTimeoutMs: number;
  /** How long the guest may take to freeze; the session waits a little longer for its word. */
  readonly freezeTimeoutMs: number;
  /** How much of what an invocation prints is kept. */
  readonly logBytes: number;
  /** The longest result that is accepted, in bytes of JSON. */
  readonly resultBytes: number;
  /** Everything that instances print, as it comes, also between invocations. */
  readonly onLog?: (instance: number, chunk: Buffer) => void;
  /** An instance has ended, whatever ended it; not when the session is over. */
  readonly onExit?: (instance: number, exit: ExitInfo) => void;
}
