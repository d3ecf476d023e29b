/**
 * The memory ledger: what VMs may still come to use of the host's memory and do not use yet. A
 * request is given what the host has available less all that is promised to others and a reserve.
 * One that does not fit waits in a line; idle VMs give way to it.
 */
import { SparklerError } from '../errors.js';
import type { Reservation } from './disk.js';
import type { HostMemory } from './host-memory.js';

const MIB = 1024 * 1024;

/** How often the line looks whether memory was freed that nobody told it of, ms. */
const LOOK_MS = 250;

export interface MemoryLedgerOptions {
  /** What must stay available on the host, MiB. */
  readonly reserveMiB: number;
  /** How long a request may wait, ms. */
  readonly waitMs: number;
  /** How many may wait at once. */
  readonly maxWaiting: number;
  /** What a refusal tells the caller to wait before it asks again, s. */
  readonly retryAfterS: number;
}

/** A request for memory. */
export interface MemoryAsk {
  /** Who asks, for the message. */
  readonly what: string;
  /** What is needed for it, bytes. */
  readonly need: () => number;
  /** What it may still come to use, bytes: asked anew each time that somebody wants memory. */
  readonly bytes: () => number | Promise<number>;
  /** It may wait, and others give way to it; else it is refused at once. */
  readonly isUrgent: boolean;
  /** Why it is of no use any more; undefined: it is. */
  readonly over?: () => SparklerError | undefined;
}

/** A kept promise, and how long it was waited for. */
export interface MemoryReservation extends Reservation {
  /** 0: it did not wait. ms. */
  readonly waitedMs: number;
}

/**
 * Ends what can be done without, so that `bytes` more are free when it resolves, or the part of it
 * that there is. False: there is nothing, or not enough to be of use.
 */
export type GiveWay = (bytes: number) => Promise<boolean>;

interface Waiting {
  readonly ask: MemoryAsk;
  readonly since: number;
  readonly resolve: (reservation: MemoryReservation) => void;
  readonly reject: (error: SparklerError) => void;
}

export class MemoryLedger {
  readonly #options: MemoryLedgerOptions;
  readonly #host: () => Promise<HostMemory>;
  readonly #kept = new Set<MemoryAsk>();
  #line: Waiting[] = [];
  #giveWay: GiveWay = () => Promise.resolve(false);
  #isLooking = false;
  /** Something happened while it looked. */
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #closed: SparklerError | undefined;

  constructor(options: MemoryLedgerOptions, host: () => Promise<HostMemory>) {
    this.#options = options;
    this.#host = host;
  }

  /** Who ends idle VMs. */
  set giveWay(giveWay: GiveWay) {
    this.#giveWay = giveWay;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#line.length;
  }

  /** What is promised and not used yet, bytes. */
  promised(): Promise<number> {
    return sum([...this.#kept]);
  }

  /**
   * Keeps memory for the request, first come first served.
   * @throws SparklerError HOST_MEMORY_FULL with the numbers; what `over` or `close` gives.
   */
  reserve(ask: MemoryAsk): Promise<MemoryReservation> {
    if (this.#closed) return Promise.reject(this.#closed);
    const { maxWaiting } = this.#options;
    // The first one in the line may be about to be served.
    if (this.#line.length > (ask.isUrgent ? maxWaiting : 0)) {
      const message = `${this.#line.length} requests wait for the host's memory already (admission.maxWaiting), and so ${ask.what} cannot. Try again later.`;
      return Promise.reject(this.#full(message));
    }
    return new Promise((resolve, reject) => {
      this.#line.push({ ask, since: performance.now(), resolve, reject });
      this.look();
    });
  }

  /** Memory may have become free, or a request of no use. */
  look(): void {
    if (this.#isLooking) {
      this.#again = true;
      return;
    }
    this.#isLooking = true;
    void this.#serve().finally(() => {
      this.#isLooking = false;
      clearTimeout(this.#timer);
      if (this.#line.length === 0) return;
      // Memory of other programs becomes free without a word.
      this.#timer = setTimeout(() => this.look(), this.#again ? 0 : LOOK_MS);
      this.#again = false;
    });
  }

  /** Fails all who wait and all who come later. */
  close(error: SparklerError): void {
    this.#closed ??= error;
    clearTimeout(this.#timer);
    for (const { reject } of this.#line.splice(0)) reject(error);
  }

  async #serve(): Promise<void> {
    for (;;) {
      const [first] = this.#line;
      if (first === undefined) return;
      try {
        if (!(await this.#decide(first))) return;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        first.reject(new SparklerError('INTERNAL', `Memory cannot be read: ${reason}`, {}, error));
      }
      this.#line = this.#line.filter((one) => one !== first);
    }
  }

  /** Whether the request has its answer now. */
  async #decide({ ask, since, resolve, reject }: Waiting): Promise<boolean> {
    const over = ask.over?.();
    if (over) {
      reject(over);
      return true;
    }
    const need = ask.need();
    // Promises first: what is used between the two looks then counts twice, never not at all.
    const promised = await this.promised();
    const { availableBytes, totalBytes } = await this.#host();
    const reserve = this.#options.reserveMiB * MIB;
    const missing = need + reserve - (availableBytes - promised);
    const waitedMs = performance.now() - since;
    if (this.#closed) return true;
    if (missing <= 0) {
      this.#kept.add(ask);
      const release = (): void => {
        if (this.#kept.delete(ask)) this.look();
      };
      resolve({ release, waitedMs });
      return true;
    }
    const fitsAtAll = need + reserve <= totalBytes;
    if (fitsAtAll && ask.isUrgent) {
      if (await this.#giveWay(missing)) return this.#decide({ ask, since, resolve, reject });
      if (waitedMs < this.#options.waitMs) return false;
    }
    const numbers = `The host has ${mib(availableBytes)} MiB of memory available, of which ${mib(promised)} MiB are reserved for what VMs may still come to use; ${ask.what} needs ${mib(need)} MiB and ${mib(reserve)} MiB must stay free (admission.reserveMiB)`;
    const way = fitsAtAll
      ? `It waited for ${Math.round(waitedMs)} ms (admission.waitMs). Try again later, or delete VMs.`
      : 'It fits never: give the function less memory.';
    reject(this.#full(`${numbers}. ${way}`));
    return true;
  }

  #full(message: string): SparklerError {
    const { retryAfterS } = this.#options;
    return new SparklerError('HOST_MEMORY_FULL', message, { retryAfterS });
  }
}

async function sum(asks: readonly MemoryAsk[]): Promise<number> {
  const bytes = await Promise.all(asks.map(async (ask) => ask.bytes()));
  return bytes.reduce((total, some) => total + some, 0);
}

function mib(bytes: number): number {
  return Math.ceil(bytes / MIB);
}
