import type { Duplex } from 'node:stream';
import type { MachineSpec } from '../driver.js';
import {
  FakeAgent,
  type FakeAgentOptions,
  type FakeHandler,
  type FakeInstances,
  type GuestNode,
} from '../../guest/index.js';

/** A guest without a machine: it speaks the guest channel's protocol on the port it was given. */
export interface FakeGuest {
  /** Its whole state, as JSON: a guest made with it goes on as this one would. */
  save(): unknown;
  /** It stops working, as a guest does whose machine is gone. */
  stop(): void;
}

/**
 * Makes a guest. Without `saved` it boots and says hello; with it, it says nothing until spoken to.
 */
export type FakeGuestFactory = (
  port: Duplex,
  saved: { readonly state: unknown } | undefined,
  spec: Pick<MachineSpec, 'memMiB' | 'memory'>,
) => FakeGuest;

/** What a fake guest's handlers keep between invocations: it is part of its snapshots. */
export type FakeMemory = Record<string, unknown>;

export interface ProgramOptions {
  /** The handler of a guest, given the guest's own memory. */
  readonly program: (memory: FakeMemory) => FakeHandler;
  readonly load?: FakeAgentOptions['load'];
  readonly unfreezable?: FakeAgentOptions['unfreezable'];
}

interface Saved {
  readonly instances: FakeInstances;
  readonly memory: FakeMemory;
  /** No user code runs until the guest is told that it was restored. */
  readonly frozen: boolean;
}

/** Guests that are the guest room's fake agent, running `program`. */
export function programGuest({ program, load, unfreezable }: ProgramOptions): FakeGuestFactory {
  return (port, saved, spec) => {
    const state = saved?.state as Saved | undefined;
    const memory = state?.memory ?? {};
    const agent = new FakeAgent(port, {
      handler: program(memory),
      nodes: () => nodesOf(spec),
      ...(load && { load }),
      ...(unfreezable && { unfreezable }),
      ...(state && { instances: state.instances, frozen: state.frozen }),
    });
    return {
      save: (): Saved => ({ instances: agent.instances, memory, frozen: agent.frozen }),
      stop: () => undefined,
    };
  };
}

const KIB_PER_MIB = 1024;

/** Its own memory and its blocks, all free. */
function nodesOf({ memMiB, memory }: Pick<MachineSpec, 'memMiB' | 'memory'>): GuestNode[] {
  return [{ memMiB }, ...(memory?.blocks ?? [])].map((part, node) => {
    const managedKiB = part.memMiB * KIB_PER_MIB;
    return { node, managedKiB, freeKiB: managedKiB };
  });
}
