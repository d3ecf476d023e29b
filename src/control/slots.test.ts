import { describe, expect, it } from 'vitest';
import { FakeMemory } from '../../tests/support/fake-memory.js';
import { SparklerError } from '../errors.js';
import { Slots } from './slots.js';

const gone = new SparklerError('VM_DIED', 'gone');

/** Slots with these instances. */
function slotsOf(...instances: number[]): Slots {
  const slots = new Slots();
  slots.adopt(instances);
  return slots;
}

describe('one slot', () => {
  it('serves first come first and refuses beyond its line', async () => {
    const slots = new Slots();
    const order: number[] = [];
    const { release } = await slots.take(2);
    const rest = [1, 2].map(async (n) => {
      const turn = await slots.take(2);
      order.push(n);
      turn.release();
    });
    await expect(slots.take(2)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    expect(slots).toMatchObject({ taken: true, waiting: 2, idle: 0 });
    release();
    release();
    await Promise.all(rest);
    expect(order).toEqual([1, 2]);
    expect(slots).toMatchObject({ taken: false, waiting: 0, idle: 1 });
  });

  it('waits for nobody where nobody may wait, while it is idle', async () => {
    const slots = new Slots();
    const { release } = await slots.take(0);
    await expect(slots.take(0)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    release();
    (await slots.take(0)).release();
  });

  it('fails all who wait when it closes', async () => {
    const slots = new Slots();
    const { release } = await slots.take(1);
    const waiting = slots.take(1);
    slots.close(gone);
    await expect(waiting).rejects.toBe(gone);
    release();
    await expect(slots.take(1)).rejects.toBe(gone);
    await expect(slots.takeAll(1)).rejects.toBe(gone);
    expect(() => slots.add()).toThrow(gone);
  });
});

describe('several slots', () => {
  it('are taken at once, and one line waits for whichever is free first', async () => {
    const slots = slotsOf(1, 2);
    const [one, two] = await Promise.all([slots.take(5), slots.take(5)]);
    expect(new Set([one.slot.instance, two.slot.instance])).toEqual(new Set([1, 2]));
    const waiting = slots.take(5);
    two.release();
    expect((await waiting).slot).toBe(two.slot);
    expect(slots.busy).toBe(2);
  });

  it('are taken as they were used last', async () => {
    const slots = slotsOf(1, 2, 3);
    const [a, b] = await Promise.all([slots.take(5), slots.take(5)]);
    a.slot.usedAt = 0;
    b.release();
    expect((await slots.take(5)).slot).toBe(b.slot);
  });

  it('are begun by whoever adds one', async () => {
    const slots = slotsOf(1);
    const first = await slots.take(0);
    const added = slots.add();
    expect(slots).toMatchObject({ size: 2, busy: 2 });
    added.slot.instance = 2;
    added.release();
    expect(slots).toMatchObject({ size: 2, busy: 1, idle: 1 });
    expect((await slots.take(0)).slot).toBe(added.slot);
    first.release();
  });

  it('that have no instance go, but for the last', async () => {
    const slots = slotsOf(1, 2);
    const vacated: number[] = [];
    slots.onVacated = ({ grant }) => vacated.push(grant?.memMiB ?? 0);
    const turn = await slots.take(0);
    turn.slot.grant = await new FakeMemory(1).grow(64);
    slots.vacate(turn.slot.instance ?? 0);
    expect({ vacated, size: slots.size }).toEqual({ vacated: [64], size: 2 });
    turn.release();
    expect(slots.size).toBe(1);
    slots.vacate(slots.all()[0]?.instance ?? 0);
    expect({ vacated, size: slots.size, idle: slots.idle }).toEqual({
      vacated: [64, 0],
      size: 1,
      idle: 1,
    });
    slots.vacate(99);
    expect(vacated).toHaveLength(2);
  });

  it('may be taken one by one for their end', async () => {
    const slots = slotsOf(1, 2);
    const [first, second] = slots.all();
    const turn = slots.takeIdle(first!);
    expect(turn?.slot).toBe(first);
    expect(slots.takeIdle(first!)).toBeUndefined();
    expect((await slots.take(0)).slot).toBe(second);
    expect(slots.takeIdle(second!)).toBeUndefined();
    turn?.release();
  });
});

describe('work on the whole VM', () => {
  it('waits until all are free; those behind it wait for it', async () => {
    const slots = slotsOf(1, 2);
    const order: string[] = [];
    const [a, b] = await Promise.all([slots.take(5), slots.take(5)]);
    const all = slots.takeAll(5).then((release) => {
      order.push('all');
      return release;
    });
    const later = slots.take(5).then((turn) => {
      order.push('later');
      return turn;
    });
    expect(slots).toMatchObject({ isHeld: true, idle: 0 });
    expect(() => slots.add()).toThrow('held');
    a.release();
    await Promise.resolve();
    expect(order).toEqual([]);
    b.release();
    const release = await all;
    expect(slots).toMatchObject({ taken: true, busy: 2, idle: 0, isHeld: true });
    release();
    (await later).release();
    expect(order).toEqual(['all', 'later']);
    expect(slots).toMatchObject({ taken: false, isHeld: false, idle: 2 });
  });

  it('begins at once while nothing is under way, one after another', async () => {
    const slots = slotsOf(1, 2);
    const first = await slots.takeAll(0);
    await expect(slots.takeAll(0)).rejects.toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    const second = slots.takeAll(1);
    first();
    (await second)();
    expect(slots.idle).toBe(2);
  });
});
