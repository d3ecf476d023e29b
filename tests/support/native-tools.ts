/** Native programs built for tests, with the address and undefined-behaviour sanitizers. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const REPOSITORY = join(import.meta.dirname, '..', '..');
/** Files of a tmpfs are nowhere but in the page cache: nothing of it can be dropped. */
const TMPFS = 0x01021994;
export const canDropCache = statfsSync(tmpdir()).type !== TMPFS;

/** Tools of native/ and programs of tests/support/native, built into a folder of their own. */
export class NativeTools {
  readonly dir = mkdtempSync(join(tmpdir(), 'sparkler-tools-'));
  readonly #children: ChildProcess[] = [];

  constructor(tools: readonly string[], programs: readonly string[] = []) {
    const targets = tools.map((tool) => this.path(tool));
    const make = ['-s', '-C', join(REPOSITORY, 'native'), 'SANITIZE=1', `OUT=${this.dir}`];
    if (targets.length > 0) execFileSync('make', [...make, ...targets]);
    for (const program of programs) {
      const source = join(REPOSITORY, 'tests/support/native', `${program}.c`);
      execFileSync('gcc', ['-o', this.path(program), source]);
    }
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** Runs a tool to its end with files (path and flags) as descriptors 3, 4, …. */
  run(tool: string, args: readonly string[], files: readonly [string, string][] = []) {
    const fds = files.map(([path, flags]) => openSync(path, flags));
    try {
      return spawnSync(this.path(tool), args, {
        stdio: ['ignore', 'pipe', 'pipe', ...fds],
        encoding: 'utf8',
      });
    } finally {
      fds.forEach((fd) => closeSync(fd));
    }
  }

  /** Starts a program and talks to it; `fds` become its descriptors 3, 4, …. */
  start(program: string, args: readonly string[], fds: readonly number[] = []): Talker {
    const stdio = ['pipe' as const, 'pipe' as const, 'pipe' as const, ...fds];
    const child = spawn(this.path(program), args, { stdio });
    this.#children.push(child);
    return new Talker(child);
  }

  /** Ends what still runs. */
  endAll(): void {
    this.#children.splice(0).forEach((child) => child.kill('SIGKILL'));
  }

  close(): void {
    this.endAll();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A running program and its lines. */
export class Talker {
  readonly #lines: AsyncIterator<string>;
  readonly exit: Promise<number | null>;
  #errors = '';

  constructor(readonly child: ChildProcess) {
    this.#lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
    child.stderr!.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.exit = new Promise((resolve) => child.once('close', (code) => resolve(code)));
  }

  /** What it has written to stderr so far. */
  get errors(): string {
    return this.#errors;
  }

  async line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new TypeError(`the program ended: ${this.#errors}`);
    return next.value;
  }

  say(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  async ask(line: string): Promise<string> {
    this.say(line);
    return this.line();
  }
}
