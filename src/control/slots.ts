/**
 * The places for instances in one VM. Each holds at most one instance and serves one turn at a time;
 * one bounded line waits for all of them, first come first served, so that nobody waits for a busy
 * instance while another is idle. Work on the VM as a whole waits in the same line until all places
 * are free, and those behind it wait for it.
 */
import { SparklerError } from '../errors.js';
import type { Grant } from '../memory/index.js';
import type { Release } from './shared-turns.js';

/** How an instance was started. */
export interface InstanceStart {
  /** By the guest's clock, until its handler was loaded, ms. */
  readonly initMs: number;
  /** It was made from a process that had loaded the handler. */
  readonly fromZygote: boolean;
}

/** A place for one instance. */
export class Slot {
  /** The instance in it; undefined until it is started, and after it was ended. */
  instance: number | undefined;
  /** The memory that its instance has, in a VM whose memory grows by instances. */
  grant: Grant | undefined;
  /** How the instance was started; undefined: it was there in a snapshot. */
  born: InstanceStart | undefined;
  /** When it last began or ended work, `performance.now()`. */
  usedAt = performance.now();
}

/** A turn in one slot, until it is released. */
export interface SlotTurn {
  readonly slot: Slot;
  readonly release: Release;
}

interface Waiting {
  /** How many slots it takes: one, or all there are. */
  readonly wants: 'one' | 'all';
  readonly begin: (slot: Slot | undefined) => void;
  readonly fail: (error: SparklerError) => void;
}

export class Slots {
  readonly #slots = new Set<Slot>();
  readonly #taken = new Set<Slot>();
  /** Hears of each slot whose instance is gone. */
  onVacated: (slot: Slot) => void = () => undefined;
  #alone = false;
  #line: Waiting[] = [];
  #closed: SparklerError | undefined;

  constructor() {
    this.#slots.add(new Slot());
  }

  all(): Slot[] {
    return [...this.#slots];
  }

  /** Slots: there is always one. */
  get size(): number {
    return this.#slots.size;
  }

  /** How many have a turn. */
  get busy(): number {
    return this.#alone ? this.size : this.#taken.size;
  }

  /** Somebody has a turn. */
  get taken(): boolean {
    return this.busy > 0;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#line.length;
  }

  /** Slots that could begin a turn at once. */
  get idle(): number {
    return this.#alone || this.#line.length > 0 ? 0 : this.size - this.#taken.size;
  }

  /**
   * Waits for a turn in any slot.
   * @param maxWaiting how many may wait at once.
   * @throws SparklerError TOO_MANY_REQUESTS when the line is full, at once; what `close` was given.
   */
  async take(maxWaiting: number): Promise<SlotTurn> {
    const slot = await this.#enter('one', maxWaiting);
    if (slot) return { slot, release: this.#release(slot) };
    throw new SparklerError('INTERNAL', 'A turn began without its slot.');
  }

  /** Waits until no slot has a turn, and keeps it so. @throws as `take`. */
  async takeAll(maxWaiting: number): Promise<Release> {
    await this.#enter('all', maxWaiting);
    return once(() => {
      this.#alone = false;
      this.#next();
    });
  }

  /** Work on the VM as a whole is done, or waits for it to be idle. */
  get isHeld(): boolean {
    return this.#alone || this.#line.some(({ wants }) => wants === 'all');
  }

  /** A new slot, whose first turn is the caller's. @throws SparklerError what `close` was given. */
  add(): SlotTurn {
    if (this.#closed) throw this.#closed;
    if (this.isHeld) throw new SparklerError('VM_WRONG_STATE', 'The VM is held.');
    const slot = new Slot();
    this.#slots.add(slot);
    this.#taken.add(slot);
    return { slot, release: this.#release(slot) };
  }

  /** A turn in this slot, if it could begin at once: for ending its instance. */
  takeIdle(slot: Slot): SlotTurn | undefined {
    if (this.idle === 0 || !this.#slots.has(slot) || this.#taken.has(slot)) return undefined;
    this.#taken.add(slot);
    return { slot, release: this.#release(slot) };
  }

  /** Slots for the instances that a restored VM has. */
  adopt(instances: readonly number[]): void {
    for (const instance of instances) {
      const empty = this.all().find((slot) => slot.instance === undefined);
      const slot = empty ?? new Slot();
      slot.instance = instance;
      this.#slots.add(slot);
    }
  }

  /** An instance is gone, however it ended: its slot is empty, and goes too unless it is the last. */
  vacate(instance: number): void {
    const slot = this.all().find((one) => one.instance === instance);
    if (slot === undefined) return;
    slot.instance = undefined;
    this.onVacated(slot);
    if (!this.#taken.has(slot)) this.#tidy(slot);
  }

  /** Fails all who wait and all who come later. Whoever has a turn keeps it. */
  close(error: SparklerError): void {
    this.#closed ??= error;
    const line = this.#line;
    this.#line = [];
    for (const waiting of line) waiting.fail(error);
  }

  #enter(wants: Waiting['wants'], maxWaiting: number): Promise<Slot | undefined> {
    if (this.#closed) return Promise.reject(this.#closed);
    const isFree = wants === 'one' ? this.idle > 0 : !this.taken && this.#line.length === 0;
    if (!isFree && this.#line.length >= maxWaiting) {
      return Promise.reject(
        new SparklerError(
          'TOO_MANY_REQUESTS',
          `The VM is busy and ${maxWaiting} more wait for it already. Try again later.`,
        ),
      );
    }
    return new Promise((begin, fail) => {
      this.#line.push({ wants, begin, fail });
      this.#next();
    });
  }

  #next(): void {
    for (;;) {
      const [first] = this.#line;
      if (first === undefined || this.#alone) return;
      if (first.wants === 'all') {
        if (this.#taken.size > 0) return;
        this.#alone = true;
        this.#line.shift();
        first.begin(undefined);
        continue;
      }
      const slot = this.#freeSlot();
      if (slot === undefined) return;
      this.#taken.add(slot);
      this.#line.shift();
      first.begin(slot);
    }
  }

  /** One with an instance, the one used last: the others may then be ended. */
  #freeSlot(): Slot | undefined {
    const free = this.all().filter((slot) => !this.#taken.has(slot));
    const live = free.filter((slot) => slot.instance !== undefined);
    return (live.length > 0 ? live : free).sort((a, b) => b.usedAt - a.usedAt)[0];
  }

  #release(slot: Slot): Release {
    return once(() => {
      slot.usedAt = performance.now();
      this.#taken.delete(slot);
      this.#tidy(slot);
      this.#next();
    });
  }

  /** A slot that lost its instance is of no use while there are others. */
  #tidy(slot: Slot): void {
    if (slot.instance === undefined && this.size > 1) this.#slots.delete(slot);
  }
}

function once(release: Release): Release {
  let over = false;
  return () => {
    if (over) return;
    over = true;
    release();
  };
}
