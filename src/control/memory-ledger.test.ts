import { afterEach, describe, expect, it } from 'vitest';
import { SparklerError } from '../errors.js';
import { MemoryLedger, type MemoryAsk, type MemoryLedgerOptions } from './memory-ledger.js';

const MIB = 1024 * 1024;
let availableMiB: number;
let ledger: MemoryLedger;
afterEach(() => ledger.close(new SparklerError('SHUTTING_DOWN', 'the test is over')));

/** A host of 1000 MiB, of which 100 are the reserve. */
function open(available: number, options: Partial<MemoryLedgerOptions> = {}): void {
  availableMiB = available;
  ledger = new MemoryLedger(
    { reserveMiB: 100, waitMs: 5_000, maxWaiting: 4, retryAfterS: 7, ...options },
    () => Promise.resolve({ availableBytes: availableMiB * MIB, totalBytes: 1000 * MIB }),
  );
}

function ask(mib: number, fields: Partial<MemoryAsk> = {}): MemoryAsk {
  const bytes = (): number => mib * MIB;
  return { what: `a VM of ${mib}`, need: bytes, bytes, isUrgent: true, ...fields };
}

const FULL = { code: 'HOST_MEMORY_FULL', details: { retryAfterS: 7 } };
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('memory', () => {
  it('is given while what is available is enough for all that is promised and the reserve', async () => {
    open(600, { waitMs: 0 });
    await ledger.reserve(ask(250));
    const second = await ledger.reserve(ask(250));
    await expect(ledger.reserve(ask(1))).rejects.toMatchObject({
      ...FULL,
      message: expect.stringContaining('600 MiB of memory available, of which 500') as string,
    });
    second.release();
    second.release();
    expect(await ledger.promised()).toBe(250 * MIB);
    await ledger.reserve(ask(250));
  });

  it('that a VM uses by now is not charged twice', async () => {
    open(500, { waitMs: 0 });
    let leftMiB = 400;
    await ledger.reserve(ask(400, { bytes: () => Promise.resolve(leftMiB * MIB) }));
    [leftMiB, availableMiB] = [100, 200];
    await expect(ledger.reserve(ask(1))).rejects.toMatchObject(FULL);
    leftMiB = 99;
    await ledger.reserve(ask(1));
  });

  it('is waited for, first come first served', async () => {
    open(500);
    const first = await ledger.reserve(ask(400));
    const order: string[] = [];
    const large = ledger.reserve(ask(300)).then((kept) => {
      order.push('large');
      return kept;
    });
    // It would fit, but does not overtake.
    const small = ledger.reserve(ask(1)).then(() => order.push('small'));
    await soon();
    expect({ order, waiting: ledger.waiting }).toEqual({ order: [], waiting: 2 });
    first.release();
    expect((await large).waitedMs).toBeGreaterThan(0);
    await small;
    expect(order).toEqual(['large', 'small']);
  });

  it('is found when other programs give it back without a word', async () => {
    open(50);
    const waiting = ledger.reserve(ask(300));
    await soon();
    availableMiB = 400;
    await waiting;
  });

  it('is refused after the wait', async () => {
    open(50, { waitMs: 1 });
    await expect(ledger.reserve(ask(300))).rejects.toMatchObject({
      ...FULL,
      message: expect.stringContaining('It waited for') as string,
    });
    expect(ledger.waiting).toBe(0);
  });

  it('is refused at once when it never fits', async () => {
    open(1000);
    await expect(ledger.reserve(ask(901))).rejects.toMatchObject({
      ...FULL,
      message: expect.stringContaining('fits never') as string,
    });
    await ledger.reserve(ask(900));
  });

  it('is refused at once when too many wait, and to what is not urgent', async () => {
    open(50, { maxWaiting: 1 });
    const waiting = [ledger.reserve(ask(300)), ledger.reserve(ask(300))];
    const outcomes = Promise.allSettled(waiting);
    await expect(ledger.reserve(ask(1))).rejects.toMatchObject({
      ...FULL,
      message: expect.stringContaining('2 requests wait') as string,
    });
    await expect(ledger.reserve(ask(1, { isUrgent: false }))).rejects.toMatchObject(FULL);
    ledger.close(new SparklerError('SHUTTING_DOWN', 'bye'));
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ reason: { code: 'SHUTTING_DOWN' } });
    }
    await expect(ledger.reserve(ask(1))).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('is not waited for by what is not urgent, and nothing gives way to it', async () => {
    open(50);
    let asked = 0;
    ledger.giveWay = () => Promise.resolve(++asked < 0);
    await expect(ledger.reserve(ask(1, { isUrgent: false }))).rejects.toMatchObject(FULL);
    expect(asked).toBe(0);
  });

  it('is not given any more to what is over', async () => {
    open(50);
    const over: SparklerError[] = [];
    const waiting = ledger.reserve(ask(300, { over: () => over[0] }));
    const outcome = Promise.allSettled([waiting]);
    await soon();
    over.push(new SparklerError('VM_DIED', 'deleted'));
    ledger.look();
    expect(await outcome).toMatchObject([{ reason: { code: 'VM_DIED' } }]);
  });

  it('is given up by those that give way, as much as is missing', async () => {
    open(200);
    const asked: number[] = [];
    ledger.giveWay = (bytes) => {
      asked.push(bytes / MIB);
      availableMiB += 60;
      return Promise.resolve(asked.length < 4);
    };
    await ledger.reserve(ask(250));
    expect(asked).toEqual([150, 90, 30]);
  });

  it('that cannot be read is said so, and the next one is asked for again', async () => {
    let fails = true;
    ledger = new MemoryLedger({ reserveMiB: 0, waitMs: 0, maxWaiting: 1, retryAfterS: 1 }, () =>
      fails
        ? Promise.reject(new Error('EIO'))
        : Promise.resolve({ availableBytes: MIB, totalBytes: MIB }),
    );
    await expect(ledger.reserve(ask(1))).rejects.toMatchObject({ code: 'INTERNAL' });
    fails = false;
    await ledger.reserve(ask(1));
  });
});
