/** The state table of a VM: one table for all drivers, enforced by `Machine`. */
import { SparklerError } from '../errors.js';
import type { VmState } from './driver.js';

export type MachineOperation =
  'pause' | 'resume' | 'snapshot' | 'stats' | 'resize' | 'populate' | 'discard' | 'close';

/** Operation × state → the state after it. What is absent is VM_WRONG_STATE. */
export const TRANSITIONS: Readonly<
  Record<MachineOperation, Readonly<Partial<Record<VmState, VmState>>>>
> = {
  pause: { running: 'paused' },
  resume: { paused: 'running' },
  snapshot: { paused: 'paused' },
  stats: { running: 'running', paused: 'paused' },
  resize: { running: 'running' },
  populate: { running: 'running' },
  discard: { running: 'running' },
  close: { running: 'closed', paused: 'closed', failed: 'closed', closed: 'closed' },
};

/**
 * The state after `operation` in `state`.
 * @throws SparklerError VM_WRONG_STATE, naming the VM, its state and the states that would do.
 */
export function nextState(operation: MachineOperation, state: VmState, vmId: string): VmState {
  const row = TRANSITIONS[operation];
  const next = row[state];
  if (next !== undefined) return next;
  const legal = Object.keys(row).join(' or ');
  throw new SparklerError(
    'VM_WRONG_STATE',
    `VM ${vmId} is ${state}: ${operation} needs it ${legal}.`,
    { step: operation },
  );
}
