/** What the pool asks of its VMs. */
import type { StrategyChoice } from './chooser.js';
import { keyOf } from './demands.js';
import type { Vm } from './vm.js';

/** The strategy that it was asked for with; `auto` stays `auto`. */
export function strategyOfVm(vm: Vm): StrategyChoice {
  return vm.request.restore?.strategy ?? vm.request.fn.restoreStrategy;
}

/** The kind of a restored VM. */
export function keyOfVm(vm: Vm): string {
  return keyOf(vm.request.snapshot?.ssId ?? '', strategyOfVm(vm));
}

/** It was, or may yet be, restored with more of the snapshot than its memory file. */
export function hasWorkingSet(vm: Vm, ssId: string): boolean {
  return vm.request.snapshot?.ssId === ssId && vm.restore?.memory.kind !== 'file';
}

/** Sum of their guests' memory, MiB. */
export function memOf(vms: readonly Vm[]): number {
  return vms.reduce((sum, vm) => sum + vm.request.memMiB, 0);
}

export function countOf(vms: readonly Vm[], key: string): number {
  return vms.filter((vm) => keyOfVm(vm) === key).length;
}

/** Those of which `is` holds, and the others. */
export function split<T>(all: readonly T[], is: (one: T) => boolean): [T[], T[]] {
  return [all.filter(is), all.filter((one) => !is(one))];
}
