/** The templates of a driver: which there are, when one is started, and how each ends. */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AheadObserver, VmFootprint } from '../footprint.js';
import type { QemuCommand } from './command.js';
import { Template, TemplateUnsuitable, type TemplateOptions } from './template.js';

/** The restore that showed the need comes first: a template is begun so long after it, ms. */
const BEGIN_AFTER_MS = 250;

/** Templates that ended unasked one after the other, until none is started any more. */
const MAX_FAILURES = 5;

interface Entry {
  readonly key: string;
  /** Undefined while it starts. */
  template?: Template;
}

export class Templates {
  readonly #options: TemplateOptions;
  readonly #limit: number;
  readonly #observer: AheadObserver | undefined;
  /** The least recently used is first. */
  readonly #entries = new Map<string, Entry>();
  /** Everything that runs or starts, retired ones too; each settles when nothing of it is left. */
  readonly #running = new Map<Promise<void>, () => Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #failures = 0;
  #off = false;

  constructor(limit: number, options: TemplateOptions, observer?: AheadObserver) {
    this.#limit = limit;
    this.#options = options;
    this.#observer = observer;
  }

  /** What must be the same for two restores to come from one template. */
  static async keyOf(command: QemuCommand): Promise<string> {
    const drives = command.files.filter(({ isDrive }) => isDrive);
    const seen = await Promise.all(
      drives.map(async ({ path }) => {
        const { dev, ino, mtimeMs, size } = await stat(path);
        return [path, dev, ino, mtimeMs, size];
      }),
    );
    return JSON.stringify([command.args, seen]);
  }

  /** The template for `key` if it is ready. */
  take(key: string): Template | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.template;
  }

  /** Begins one in the background if there is none and none is being started. */
  want(key: string, command: QemuCommand): void {
    if (this.#off || this.#entries.has(key)) return;
    const entry: Entry = { key };
    this.#entries.set(key, entry);
    this.#retireOldest();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#off && this.#entries.get(key) === entry) this.#begin(entry, command);
    }, BEGIN_AFTER_MS).unref();
    this.#timers.add(timer);
  }

  /** A VMM came from it. */
  worked(): void {
    this.#failures = 0;
  }

  /** Nothing came from it: it is ended, and after some such failures there are none any more. */
  failed(template: Template, reason: string): void {
    for (const [key, entry] of this.#entries) {
      if (entry.template === template) this.#entries.delete(key);
    }
    template.retire();
    this.#fail(reason);
  }

  /** Ends all of them. None is started afterwards. */
  async close(): Promise<void> {
    this.#off = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#entries.clear();
    await Promise.all([...this.#running.values()].map((end) => end()));
    await Promise.all(this.#running.keys());
  }

  #begin(entry: Entry, command: QemuCommand): void {
    let template: Template | undefined;
    const run = this.#run(entry, command, (made) => (template = made));
    this.#running.set(run, () => template?.close() ?? Promise.resolve());
    void run.finally(() => this.#running.delete(run));
  }

  /** From before its start until nothing is left of it. Never rejects. */
  async #run(
    entry: Entry,
    command: QemuCommand,
    made: (template: Template) => void,
  ): Promise<void> {
    const id = `template-${process.pid}-${randomBytes(8).toString('hex')}`;
    const watched = this.#observer?.begin(id, this.#footprint(id));
    try {
      const onProcess = (pid: number): void => watched?.onProcess(pid);
      const template = await Template.start(id, command, this.#options, onProcess);
      made(template);
      // It was retired, or all were closed, while it started.
      if (this.#entries.get(entry.key) !== entry) template.retire();
      if (this.#off) await template.close();
      entry.template = template;
      await template.exited;
      await template.close();
      if (this.#entries.get(entry.key) === entry) this.#fail('a template ended by itself');
    } catch (error) {
      if (error instanceof TemplateUnsuitable) this.#failures = MAX_FAILURES;
      if (!this.#off) this.#fail(error instanceof Error ? error.message : String(error));
    } finally {
      if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
      watched?.gone();
    }
  }

  #fail(reason: string): void {
    this.#failures++;
    if (this.#off) return;
    this.#off = this.#failures >= MAX_FAILURES;
    const then = this.#off ? 'no more templates are started' : 'the next one may work';
    this.#observer?.warn(`${reason}; ${then}`);
  }

  #retireOldest(): void {
    for (const [key, { template }] of this.#entries) {
      if (this.#entries.size <= this.#limit) return;
      this.#entries.delete(key);
      template?.retire();
    }
  }

  #footprint(id: string): VmFootprint {
    const root = this.#options.cgroupRoot;
    return root === undefined ? {} : { cgroup: join(root, id) };
  }
}
