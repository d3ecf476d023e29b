/** Two connected ends of a byte stream with a gate between: shut, bytes wait; broken, both end. */
import { Duplex } from 'node:stream';

/** What is held back before a writer has to wait, bytes: about a virtio-serial port's. */
const HELD_BYTES = 64 * 1024;

export interface GatedChannel {
  /** The VMM's users hold this end. */
  readonly host: Duplex;
  /** The guest holds this one. */
  readonly guest: Duplex;
  /** Bytes in both directions wait from now on. */
  shut(): void;
  open(): void;
  /** Ends both ends, dropping what waits. */
  break(): void;
}

export function gatedChannel(shut: boolean): GatedChannel {
  const gate = { shut };
  const host = new End(gate);
  const guest = new End(gate);
  host.peer = guest;
  guest.peer = host;
  return {
    host,
    guest,
    shut: () => (gate.shut = true),
    open: () => {
      gate.shut = false;
      host.flush();
      guest.flush();
    },
    break: () => {
      for (const end of [host, guest]) end.destroy();
    },
  };
}

class End extends Duplex {
  peer: End | undefined;
  readonly #gate: { readonly shut: boolean };
  #held: (() => void)[] = [];
  /** The peer's writer, waiting until this end is read again. */
  #wanted: (() => void) | undefined;

  constructor(gate: { readonly shut: boolean }) {
    super({ highWaterMark: HELD_BYTES });
    this.#gate = gate;
    this.on('error', () => undefined);
  }

  /** Sends on what waited at the gate. */
  flush(): void {
    const held = this.#held;
    this.#held = [];
    for (const send of held) send();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const send = (): void => {
      if (this.#gate.shut) return void this.#held.push(send);
      if (this.peer?.destroyed === false && !this.peer.push(chunk)) this.peer.#wanted = done;
      else done();
    };
    // Never in the writer's own turn: no real channel answers before `write` returned.
    queueMicrotask(send);
  }

  override _read(): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    wanted?.();
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }
}
