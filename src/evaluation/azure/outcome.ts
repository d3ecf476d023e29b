/** What is counted for one policy and one way of scaling. */
import { MINUTES } from './trace.js';

/** One instance a VM, or one VM for all instances of an application. */
export type Scaling = 'horizontal' | 'vertical';

const MIB_PER_GIB = 1024;
/** Expected values come out of products that are rounded. */
const ROUNDING = 1e-9;

/** Sums over the day, while they grow. */
export class Outcome {
  /** VMs in each minute. */
  readonly vms = new Float64Array(MINUTES);
  /** Memory of VMs and instances in each minute, MiB. */
  readonly memoryMiB = new Float64Array(MINUTES);
  /** Starts of a VM that an invocation waits for. */
  coldStarts = 0;
  /** Starts of an instance in a VM that is there, for an invocation. */
  verticalStarts = 0;
  /** Starts of VMs that a policy makes before anybody asks. */
  startsAhead = 0;
  /** Of each application: cold starts by invocations. */
  readonly coldShares: number[] = [];

  add(minute: number, vms: number, memoryMiB: number): void {
    this.vms[minute] = (this.vms[minute] ?? 0) + vms;
    this.memoryMiB[minute] = (this.memoryMiB[minute] ?? 0) + memoryMiB;
  }

  /** Closes an application that was invoked. */
  close(coldStarts: number, invocations: number): void {
    this.coldStarts += coldStarts;
    this.coldShares.push(coldStarts / invocations);
  }
}

/** A day's figures; fields as they stand in the report. */
export interface Summary {
  /** Starts of a VM that an invocation waits for. Expected value, so not always whole. */
  readonly coldStarts: number;
  /** They by all invocations, 0 to 1. */
  readonly coldShare: number;
  /** Starts of an instance in a VM that is there; 0 with one instance a VM. */
  readonly verticalStarts: number;
  /** VMs that the policy started before anybody asked. */
  readonly startsAhead: number;
  /** Most VMs in a minute, the first such minute (0 to 1439), and the mean over the day. */
  readonly peakVms: number;
  readonly peakMinute: number;
  readonly meanVms: number;
  readonly vmMinutes: number;
  /** GiB-minutes of memory, and the most GiB in a minute. */
  readonly memoryGiBMinutes: number;
  readonly peakMemoryGiB: number;
  /** Share of applications all of whose invocations were cold starts, 0 to 1. */
  readonly alwaysColdApplications: number;
}

function peakOf(values: Float64Array): { value: number; minute: number } {
  let minute = 0;
  for (let i = 1; i < values.length; i++) {
    if ((values[i] ?? 0) > (values[minute] ?? 0)) minute = i;
  }
  return { value: values[minute] ?? 0, minute };
}

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);

export function summarize(outcome: Outcome, invocations: number): Summary {
  const peak = peakOf(outcome.vms);
  const vmMinutes = sum(outcome.vms);
  const { coldStarts, verticalStarts, startsAhead, coldShares } = outcome;
  const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
  return {
    coldStarts,
    coldShare: share(coldStarts, invocations),
    verticalStarts,
    startsAhead,
    peakVms: peak.value,
    peakMinute: peak.minute,
    meanVms: vmMinutes / MINUTES,
    vmMinutes,
    memoryGiBMinutes: sum(outcome.memoryMiB) / MIB_PER_GIB,
    peakMemoryGiB: peakOf(outcome.memoryMiB).value / MIB_PER_GIB,
    alwaysColdApplications: share(
      coldShares.filter((cold) => cold > 1 - ROUNDING).length,
      coldShares.length,
    ),
  };
}
