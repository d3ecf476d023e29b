/** One VM's memory scaled up, touched, and scaled down: freshly booted and after use. */
import { setTimeout as sleep } from 'node:timers/promises';
import { processorMs } from '../processes.js';
import { shuffled, type Random } from '../random.js';
import type { Sample, Unit } from '../report.js';
import { BESIDE_MIB, caseName, LEFT_MIB, touchName, TOUCHED_MIB, type Way } from './cases.js';
import { NotReached, type Elastic, type Room } from './elastic.js';

/** The guest does behind an instance's start what it does for the next one; not while it is timed. ms. */
const SETTLE_MS = 1500;
/** How often functions come and go before a guest counts as used, two at a time. */
const USES = 4;
/** All but one of them touch at most this, MiB. */
const USE_MIB = 512;
/** What a function has read of files, MiB. */
const READ_MIB = 16;

/** A measurement without its case. */
type Figure = readonly [metric: string, unit: Unit, value: number];

/** An instance in memory that was added for it. */
interface Living {
  readonly room: Room;
  readonly instance: number;
}

export class MechanismRun {
  readonly #vm: Elastic;
  readonly #way: Way;
  readonly #random: Random;
  /** An instance in the guest's own memory that looks at the guest. */
  readonly #observer: number;

  private constructor(vm: Elastic, way: Way, random: Random, observer: number) {
    this.#vm = vm;
    this.#way = way;
    this.#random = random;
    this.#observer = observer;
  }

  static async begin(vm: Elastic, way: Way, random: Random): Promise<MechanismRun> {
    const observer = await vm.guest.start(0);
    const run = new MechanismRun(vm, way, random, observer);
    // What its first call compiles is not part of what is measured.
    await vm.guest.ask(observer, { do: 'busy' });
    return run;
  }

  /** Up, touched, down; then the same after functions have come and gone. */
  async cells(): Promise<Sample[]> {
    const { sizeMiB } = this.#vm;
    const samples: Sample[] = [];
    for (const state of ['fresh', 'used'] as const) {
      const name = caseName(sizeMiB, this.#way.name, state);
      try {
        if (state === 'used') await this.#use();
        const figures = await this.#upAndDown(sizeMiB - LEFT_MIB);
        samples.push(...named(name, [...figures, ['not reached', 'count', 0]]));
      } catch (error) {
        if (!(error instanceof NotReached)) throw error;
        // It is a result: what follows in this guest would measure something else.
        this.#vm.ground.say(`${name}: ${error.message}`);
        samples.push(...named(name, [['not reached', 'count', 1]]));
        break;
      }
    }
    return samples;
  }

  /** The write-through experiment: what touching new memory costs. */
  async touching(): Promise<Sample[]> {
    const { living } = await this.#up();
    const figures = await this.#touch(living, TOUCHED_MIB);
    await this.#down(living);
    return named(touchName(this.#way.name), figures);
  }

  async #upAndDown(touchMiB: number): Promise<Figure[]> {
    const up = await this.#up();
    const touched = await this.#touch(up.living, touchMiB);
    const down = await this.#down(up.living);
    return [...up.figures, ...touched, ...down];
  }

  async #up(): Promise<{ living: Living; figures: Figure[] }> {
    const vm = this.#vm;
    const { sizeMiB } = vm;
    const figures: Figure[] = [];
    const { result: living, spent } = await this.#spent('up', async () => {
      const asked = performance.now();
      const since = (): number => performance.now() - asked;
      const room = await vm.grow(sizeMiB);
      const grown = since();
      const populated = room.populated.then(since);
      const instance = await vm.guest.start(sizeMiB, room.nodes);
      const ready = since();
      figures.push(['up: granted', 'ms', grown]);
      // A block is usable when an instance is bound to it: that is a cgroup operation of the guest.
      figures.push(['up: usable', 'ms', room.nodes ? ready : grown]);
      figures.push(['up: instance ready', 'ms', ready]);
      figures.push(['up: populated', 'ms', await populated]);
      return { room, instance };
    });
    if (this.#way.populated && (await vm.residentMiB()) < sizeMiB) {
      throw new Error(`${this.#way.name}: the host has not populated all ${sizeMiB} MiB`);
    }
    return { living, figures: [...figures, ...spent] };
  }

  async #touch({ instance }: Living, mib: number): Promise<Figure[]> {
    const { guest } = this.#vm;
    const figures: Figure[] = [];
    for (const [what, event] of [
      ['first touch', { do: 'touch', mib, check: false }],
      ['second touch', { do: 'again', check: false }],
    ] as const) {
      const before = await guest.faults();
      const { ms = NaN } = await guest.ask(instance, event);
      const faults = (await guest.faults()) - before;
      figures.push([what, 'ms', ms], [`${what}: host faults`, 'count', faults]);
    }
    await guest.ask(instance, { do: 'check' });
    return figures;
  }

  async #down({ room, instance }: Living): Promise<Figure[]> {
    const vm = this.#vm;
    const figures: Figure[] = [['down: resident before', 'MiB', await vm.residentMiB()]];
    const { spent } = await this.#spent('down', async () => {
      const asked = performance.now();
      const since = (): number => performance.now() - asked;
      await vm.guest.session.kill(instance);
      const ended = since();
      await room.release();
      const reusable = since();
      await vm.giveBack();
      const back = since();
      figures.push(['down: instance ended', 'ms', ended]);
      figures.push(['down: reusable', 'ms', reusable]);
      figures.push(['down: reusable, from the end', 'ms', reusable - ended]);
      figures.push(['down: host has it', 'ms', back]);
      figures.push(['down: host has it, from the end', 'ms', back - ended]);
    });
    figures.push(['down: resident after', 'MiB', await vm.residentMiB()]);
    return [...figures, ...spent];
  }

  /** Functions come and go, two at a time, of random sizes; then all goes back to the host. */
  async #use(): Promise<void> {
    const vm = this.#vm;
    const most = vm.sizeMiB - LEFT_MIB;
    const all = Math.floor(this.#random() * USES);
    for (let use = 0; use < USES; use++) {
      const first = await this.#come(vm.sizeMiB, use === all ? most : this.#some(most));
      const second = await this.#come(BESIDE_MIB, this.#some(BESIDE_MIB - LEFT_MIB));
      for (const { room, instance } of shuffled([first, second], this.#random)) {
        await vm.guest.session.kill(instance);
        await room.release();
      }
    }
    await vm.giveBack();
  }

  async #come(limitMiB: number, mib: number): Promise<Living> {
    const { guest } = this.#vm;
    const room = await this.#vm.grow(limitMiB);
    const instance = await guest.start(limitMiB, room.nodes);
    await guest.ask(instance, { do: 'touch', mib });
    await guest.ask(instance, { do: 'read', mib: READ_MIB });
    await room.populated;
    return { room, instance };
  }

  #some(most: number): number {
    return 1 + Math.floor(this.#random() * Math.min(most, USE_MIB));
  }

  /** What it costs the processors of host and guest. */
  async #spent<T>(what: string, work: () => Promise<T>): Promise<{ result: T; spent: Figure[] }> {
    const { guest } = this.#vm;
    await sleep(SETTLE_MS);
    const guestBefore = await this.#busyMs();
    const hostBefore = await processorMs(guest.pid);
    const result = await work();
    const host = (await processorMs(guest.pid)) - hostBefore;
    const inGuest = (await this.#busyMs()) - guestBefore;
    return {
      result,
      spent: [
        [`${what}: host processor`, 'ms', host],
        [`${what}: guest processor`, 'ms', inGuest],
      ],
    };
  }

  async #busyMs(): Promise<number> {
    const { busyMs = NaN } = await this.#vm.guest.ask(this.#observer, { do: 'busy' });
    return busyMs;
  }
}

function named(name: string, figures: readonly Figure[]): Sample[] {
  return figures.map(([metric, unit, value]) => ({ case: name, metric, unit, value }));
}
