/** What the guest says of its memory, and proves: see docs/protocol/guest-channel.md. */
import { SparklerError } from '../errors.js';
import { count, fieldsOf, malformed, text } from './payload.js';

/** A NUMA node of the guest: its own memory is node 0, each block a node of its own. */
export interface GuestNode {
  readonly node: number;
  /** What its page allocators manage, KiB. */
  readonly managedKiB: number;
  /** What of it is free, KiB. */
  readonly freeKiB: number;
}

/** An instance's memory, as its cgroup counts it. */
export interface InstanceMemory {
  readonly instance: number;
  /** What it uses now, bytes: what it shares with its zygote is not in it. */
  readonly currentBytes: number;
  /** The most that it has used, bytes. */
  readonly peakBytes: number;
  /** Null: only the VM's memory limits it. */
  readonly limitBytes: number | null;
  /** The blocks that it is bound to; empty: none, so it lives in the VM's own memory. */
  readonly nodes: readonly number[];
}

/** From the guest's own counters, all of one moment. */
export interface GuestMemory {
  /** Of /proc/meminfo: MemTotal, MemFree, MemAvailable. */
  readonly totalKiB: number;
  readonly freeKiB: number;
  readonly availableKiB: number;
  /** Those that have memory. */
  readonly nodes: readonly GuestNode[];
  /** Those whose cgroup counts memory: none where the guest's kernel does not. */
  readonly instances: readonly InstanceMemory[];
  /** What the zygote uses, bytes; null: there is none, or its memory is not counted. */
  readonly zygoteBytes: number | null;
}

/** Whether a node is free as a whole. */
export interface FreeProof {
  /** All that its page allocators manage is in them, and no instance is bound to it. */
  readonly free: boolean;
  /** What is not, KiB. */
  readonly usedKiB: number;
}

/** The highest node that the guest's kernel may have. */
const MAX_NODE = 1023;

/** `memory` or `memory@nodes`, as START has it. @throws SparklerError INVALID_REQUEST */
export function placeOf(memMiB: number, nodes: readonly number[]): string {
  for (const node of nodes) mustBeNode(node);
  return nodes.length === 0 ? String(memMiB) : `${memMiB}@${nodes.join(',')}`;
}

function mustBeNode(node: number): void {
  if (Number.isInteger(node) && node >= 0 && node <= MAX_NODE) return;
  const message = `A NUMA node is a number from 0 to ${MAX_NODE}; this is ${node}.`;
  throw new SparklerError('INVALID_REQUEST', message, { field: 'nodes' });
}

export function decodePlace(place: string): { memMiB: number; nodes?: number[] } {
  const [memMiB, nodes] = place.split('@');
  const list = nodes?.split(',').map(Number);
  return { memMiB: Number(memMiB), ...(list === undefined ? {} : { nodes: list }) };
}

/** @throws SparklerError INVALID_REQUEST */
export function encodeProve(node: number): Buffer {
  mustBeNode(node);
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(node);
  return payload;
}

/** @throws SparklerError VM_WRONG_STATE: the guest has no such node; GUEST_PROTOCOL. */
export function decodeProof(payload: Buffer): FreeProof {
  const fields = fieldsOf('PROVED', payload);
  if (typeof fields['error'] === 'string') {
    const why = text(fields['error']);
    throw new SparklerError('VM_WRONG_STATE', `The guest cannot prove memory free: ${why}.`);
  }
  return { free: fields['free'] === true, usedKiB: count('PROVED', fields['usedKiB']) };
}

export function decodeMemory(payload: Buffer): GuestMemory {
  const fields = fieldsOf('REPORT', payload);
  return {
    totalKiB: count('REPORT', fields['totalKiB']),
    freeKiB: count('REPORT', fields['freeKiB']),
    availableKiB: count('REPORT', fields['availableKiB']),
    nodes: listOf(fields['nodes']).map((node) => ({
      node: count('REPORT', node['node']),
      managedKiB: count('REPORT', node['managedKiB']),
      freeKiB: count('REPORT', node['freeKiB']),
    })),
    instances: listOf(fields['instances']).map((instance) => ({
      instance: count('REPORT', instance['instance']),
      currentBytes: count('REPORT', instance['currentBytes']),
      peakBytes: count('REPORT', instance['peakBytes']),
      limitBytes: countOrNull(instance['limitBytes']),
      nodes: numbersOf(instance['nodes']),
    })),
    zygoteBytes: countOrNull(fields['zygoteBytes']),
  };
}

function listOf(value: unknown): Record<string, unknown>[] {
  if (!Array.isArray(value)) throw malformed('REPORT');
  return value.map((item: unknown) => {
    if (typeof item !== 'object' || item === null) throw malformed('REPORT');
    return item as Record<string, unknown>;
  });
}

function numbersOf(value: unknown): number[] {
  if (!Array.isArray(value)) throw malformed('REPORT');
  return value.map((item) => count('REPORT', item));
}

function countOrNull(value: unknown): number | null {
  return value === null ? null : count('REPORT', value);
}
