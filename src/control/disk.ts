/**
 * The disk ledger: what was promised to be written and is not written yet, by file system. Whoever
 * asks for space is given what is free less all that is promised to others.
 */
import { stat, statfs } from 'node:fs/promises';
import { SparklerError } from '../errors.js';

const MIB = 1024 * 1024;

/** Something that may still be written. */
export interface Claim {
  /** An existing folder on the file system that it is written to. */
  readonly folder: string;
  /** What is still to be written there, bytes: asked anew each time that somebody wants space. */
  readonly bytes: () => number | Promise<number>;
}

/** Space that is kept until it is given back. */
export interface Reservation {
  /** Harmless when called again. */
  readonly release: () => void;
}

/** Bytes that the daemon may write to the file system of `folder`. */
export type FreeBytes = (folder: string) => Promise<number>;

interface Kept extends Claim {
  /** The device number of the file system. */
  readonly device: number;
}

export class DiskLedger {
  readonly #minFreeMiB: number;
  readonly #freeBytes: FreeBytes;
  readonly #kept = new Set<Kept>();
  /** Settles when the request before has its answer: between look and promise nobody else looks. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param minFreeMiB what must stay free on each file system, MiB. */
  constructor(minFreeMiB: number, freeBytes: FreeBytes = freeBytesOf) {
    this.#minFreeMiB = minFreeMiB;
    this.#freeBytes = freeBytes;
  }

  /**
   * Keeps the space for all claims, or for none.
   * @param what who asks, for the message.
   * @throws SparklerError STORAGE_FULL with the numbers.
   */
  reserve(what: string, claims: readonly Claim[]): Promise<Reservation> {
    const answer = this.#turn.then(() => this.#reserve(what, claims));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #reserve(what: string, claims: readonly Claim[]): Promise<Reservation> {
    const wanted: Kept[] = [];
    for (const claim of claims) wanted.push({ ...claim, device: (await stat(claim.folder)).dev });
    for (const device of new Set(wanted.map((claim) => claim.device))) {
      await this.#check(
        what,
        wanted.filter((claim) => claim.device === device),
      );
    }
    for (const claim of wanted) this.#kept.add(claim);
    return { release: () => wanted.forEach((claim) => this.#kept.delete(claim)) };
  }

  /** @param wanted claims of one file system. */
  async #check(what: string, wanted: readonly Kept[]): Promise<void> {
    const [first] = wanted;
    if (first === undefined) return;
    const others = [...this.#kept].filter(({ device }) => device === first.device);
    const need = await sum(wanted);
    // Promises first: what is written between the two looks then counts twice, never not at all.
    const promised = await sum(others);
    const free = await this.#freeBytes(first.folder);
    if (free - promised >= need + this.#minFreeMiB * MIB) return;
    throw new SparklerError(
      'STORAGE_FULL',
      `The disk of ${first.folder} has ${Math.floor(free / MIB)} MiB free, of which ` +
        `${Math.ceil(promised / MIB)} MiB are reserved for what VMs and snapshots may still write; ` +
        `${what} needs ${Math.ceil(need / MIB)} MiB and ${this.#minFreeMiB} MiB must stay free ` +
        '(limits.minFreeDiskMiB). Free some space, or delete VMs or snapshots.',
    );
  }
}

async function sum(claims: readonly Claim[]): Promise<number> {
  const bytes = await Promise.all(claims.map(async (claim) => claim.bytes()));
  return bytes.reduce((total, some) => total + some, 0);
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
