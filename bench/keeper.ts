/** A process that runs commands for us and ends whatever they left: see keeper.py. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex, Readable, Writable } from 'node:stream';
import { REPOSITORY } from './harness.js';

export class Keeper {
  /** The other end of what commands have as stdin: a stream socket. */
  readonly channel: Duplex;
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #answers: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const [stdin, stdout, , channel] = child.stdio;
    this.#stdin = stdin as Writable;
    this.channel = channel as Duplex;
    // When it is gone its stdout ends, too: that is where it is noticed.
    for (const stream of [this.#stdin, this.channel]) stream.on('error', () => undefined);
    this.#answers = createInterface({ input: stdout as Readable })[Symbol.asyncIterator]();
    this.#closed = once(child, 'close');
  }

  /** @throws Error when it cannot be started: Python is not installed, say */
  static async start(): Promise<Keeper> {
    const child = spawn('python3', [join(REPOSITORY, 'bench/keeper.py')], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
      // Ctrl-C is for us alone: it must outlive what it keeps.
      detached: true,
    });
    await once(child, 'spawn');
    const keeper = new Keeper(child);
    if ((await keeper.#answers.next()).done !== true) return keeper;
    throw new Error('the keeper ended before it had begun');
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /**
   * Runs one command; not the next one before it has ended.
   * @throws Error with what it said, when it fails
   */
  async run(command: readonly string[]): Promise<void> {
    this.#stdin.write(`${JSON.stringify(command)}\n`);
    const answer = await this.#answers.next();
    const [status, said] =
      answer.done === true ? ['its keeper', ''] : (JSON.parse(answer.value) as [number, string]);
    if (status !== 0) throw new Error(`\`${command.join(' ')}\` ended with ${status}: ${said}`);
  }

  /** Ends everything that was started through it, also a command that still runs. */
  async close(): Promise<void> {
    this.#stdin.end();
    // The command that it waits for may never end.
    this.#child.kill('SIGTERM');
    this.channel.destroy();
    await this.#closed;
  }
}
