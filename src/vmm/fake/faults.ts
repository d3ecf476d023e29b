import { SparklerError } from '../../errors.js';

/** What a test makes go wrong with one fake VM. */
export interface FakeFaults {
  /** `boot` or `restore` itself: throws, or never ends. */
  readonly start?: 'refuse' | 'hang';
  /** The guest says nothing; prints a panic and ends; or ends at once. */
  readonly guest?: 'silent' | 'panic' | 'die';
  /** These operations never end. */
  readonly hang?: readonly ('pause' | 'resume' | 'snapshot' | 'close')[];
  /** These operations throw. */
  readonly fail?: readonly ('pause' | 'resume' | 'snapshot' | 'stats')[];
  /** The guest takes no notice of these devices' wishes. */
  readonly deaf?: readonly ('balloon' | 'hotplug' | 'blocks')[];
  /** `snapshot` meets a full disk halfway. */
  readonly diskFull?: boolean;
  /** Each of pause, resume, snapshot, close, and of memory's resizes takes so long, milliseconds. */
  readonly delayMs?: number;
}

/** What a VMM says that does not do what it should. */
export function faultError(step: string, vmId: string): SparklerError {
  return new SparklerError('VMM_FAILED', `The fake VMM of ${vmId} failed: ${step}.`, { step });
}
