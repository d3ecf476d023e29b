/** A page server and a stand-in for its VMM, both real programs, and the files they work on. */
import { execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

export const PAGE = 4096;
export const BLOCK = 65_536;
/** Pages of the memory file: two mebibytes. */
export const PAGES = 512;

const REPOSITORY = join(import.meta.dirname, '..', '..');
const WSF_HEADER = PAGE;

/** UFFD_FEATURE_EVENT_FORK, REMAP, REMOVE and UNMAP. */
export const ALL_EVENTS = 0x4e;
/** UFFDIO_REGISTER_MODE_MISSING. */
export const MISSING = 1;

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC32C, written a second time: an error in native/common/crc32c.h is found. */
export function crc32c(...parts: Buffer[]): number {
  let crc = 0xffffffff;
  for (const part of parts)
    for (const byte of part) crc = (TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** As the stand-in prints it. */
export const hashOf = (bytes: Buffer): string => crc32c(bytes).toString(16).padStart(8, '0');

/** CRC32C of each block, as in a `sums` file or a working-set file. */
export function sumsOf(bytes: Buffer): Buffer {
  const sums = Buffer.alloc(Math.ceil(bytes.length / BLOCK) * 4);
  for (let n = 0; n * BLOCK < bytes.length; n++)
    sums.writeUInt32LE(crc32c(bytes.subarray(n * BLOCK, (n + 1) * BLOCK)), n * 4);
  return sums;
}

/** Each word of page n is n + 1; every fourth page is zeros. The stand-in knows this too. */
export function memoryBytes(pages = PAGES): Buffer {
  const bytes = Buffer.alloc(pages * PAGE);
  for (let n = 0; n < pages; n++) {
    if (n % 4 === 0) continue;
    const word = Buffer.alloc(4);
    word.writeUInt32LE(n + 1);
    bytes.fill(word, n * PAGE, (n + 1) * PAGE);
  }
  return bytes;
}

/** A working-set file of these runs: first page and number of pages. */
export function workingSet(memory: Buffer, runs: readonly (readonly [number, number])[]): Buffer {
  const table = Buffer.alloc(runs.length * 16);
  runs.forEach(([first, pages], index) => {
    table.writeBigUInt64LE(BigInt(first), index * 16);
    table.writeUInt32LE(pages, index * 16 + 8);
  });
  const data = Buffer.concat(
    runs.map(([first, pages]) => memory.subarray(first * PAGE, (first + pages) * PAGE)),
  );
  const sums = sumsOf(data);
  const dataOffset = Math.ceil((WSF_HEADER + table.length + sums.length) / PAGE) * PAGE;
  const header = Buffer.alloc(WSF_HEADER);
  header.write('SPKLWSF1');
  header.writeUInt32LE(PAGE, 12);
  [memory.length, runs.length, WSF_HEADER, WSF_HEADER + table.length, dataOffset, data.length]
    .map(BigInt)
    .forEach((value, index) => header.writeBigUInt64LE(value, 16 + index * 8));
  header.writeUInt32LE(crc32c(table, sums), 64);
  header.writeUInt32LE(crc32c(header), 8);
  const gap = Buffer.alloc(dataOffset - WSF_HEADER - table.length - sums.length);
  return Buffer.concat([header, table, sums, gap, data]);
}

/** Sets the header's checksum again after a change. */
export function resealed(file: Buffer): Buffer {
  const header = file.subarray(0, WSF_HEADER);
  header.writeUInt32LE(0, 8);
  header.writeUInt32LE(crc32c(header), 8);
  return file;
}

/** A child process that answers in lines. */
class Lines {
  readonly #lines: AsyncIterator<string>;

  constructor(
    readonly child: ChildProcess,
    stream: Duplex | ChildProcess['stdout'],
  ) {
    if (!stream) throw new TypeError('no stream');
    this.#lines = createInterface(stream)[Symbol.asyncIterator]();
  }

  async line(): Promise<string | undefined> {
    const next = await this.#lines.next();
    return next.done === true ? undefined : next.value;
  }
}

/** A line of the server, and what it may hold. */
export interface Told {
  event: string;
  code?: string;
  message?: string;
  [counter: string]: unknown;
}

/** A running page server, seen from the daemon. */
export class Server {
  readonly #lines: Lines;
  readonly #ended: Promise<number | string | null>;
  stderr = '';

  constructor(
    readonly child: ChildProcess,
    readonly control: Duplex,
  ) {
    this.#lines = new Lines(child, control);
    // What a server that ends has not read is lost, and that is all right.
    control.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') throw error;
    });
    child.stderr?.on('data', (part: Buffer) => (this.stderr += part.toString()));
    const stderr = new Promise((resolve) => child.stderr?.once('end', resolve));
    this.#ended = new Promise((resolve) =>
      child.once('exit', (code, signal) => void stderr.then(() => resolve(code ?? signal))),
    );
  }

  /** The next line; undefined when the channel has ended. */
  async told(): Promise<Told | undefined> {
    const line = await this.#lines.line();
    return line === undefined ? undefined : (JSON.parse(line) as Told);
  }

  async ask(command: string): Promise<Told | undefined> {
    this.control.write(`${command}\n`);
    return this.told();
  }

  /** How it ended. What a sanitizer has to say is on stderr. */
  async ended(): Promise<{ status: number | string | null; stderr: string }> {
    return { status: await this.#ended, stderr: this.stderr };
  }
}

/** A running stand-in for a VMM (tests/support/native/vmm.c). */
export class Vmm {
  readonly #lines: Lines;

  private constructor(
    readonly child: ChildProcess,
    /** The socket's other end, for the server; undefined if it connects by itself. */
    readonly socket: Duplex | undefined,
    readonly pages: number,
  ) {
    this.#lines = new Lines(child, child.stdout);
  }

  address = '';

  static async start(child: ChildProcess, pages: number, socket?: Duplex): Promise<Vmm> {
    const vmm = new Vmm(child, socket, pages);
    vmm.address = (await vmm.#lines.line()) ?? '';
    return vmm;
  }

  async ask(command: string): Promise<string | undefined> {
    this.child.stdin?.write(`${command}\n`);
    return this.#lines.line();
  }

  /** A handshake as Firecracker writes it: all memory as one region, unless fields say otherwise. */
  regions(...fields: Record<string, number | bigint>[]): string {
    const size = this.pages * PAGE;
    const whole = { base_host_virt_addr: BigInt(this.address), size, offset: 0, page_size: PAGE };
    const list = (fields.length > 0 ? fields : [{}]).map((given) => ({
      ...whole,
      page_size_kib: PAGE,
      ...given,
    }));
    return JSON.stringify(list, (_, value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value,
    );
  }

  async hello(...fields: Record<string, number | bigint>[]): Promise<void> {
    await this.ask(`say it ${this.regions(...fields)}`);
  }

  /** Waits until so many of the threads begun sleep in the kernel. */
  async blocked(count: number): Promise<void> {
    for (;;) if ((await this.ask('blocked')) === `${count}/${count}`) return;
  }
}

/** Waits until a process is in a state, as in its `stat`: T stopped, D waiting in the kernel. */
export async function reached(state: 'T' | 'D', { pid = 0 }: ChildProcess): Promise<void> {
  const stat = (): string => readFileSync(`/proc/${pid}/stat`, 'utf8');
  while (!stat().includes(`) ${state} `)) await new Promise(setImmediate);
}

/** What a server is started with. */
export interface Plan {
  memory?: Buffer | number;
  sums?: Buffer | number | '-';
  workingSet?: Buffer;
  direct?: boolean;
  trace?: string;
  more?: string[];
  /** For liar.c. */
  lies?: Record<string, string>;
}

/** Builds the programs, starts them, and leaves nothing. */
export class PageServers {
  readonly dir = mkdtempSync(join(tmpdir(), 'sparkler-pages-'));
  readonly #children: ChildProcess[] = [];
  #files = 0;

  constructor() {
    const native = join(REPOSITORY, 'native');
    const out = `OUT=${this.dir}`;
    execFileSync('make', ['-s', '-C', native, 'SANITIZE=1', out, `${this.dir}/page-server`]);
    const support = join(REPOSITORY, 'tests/support/native');
    const flags = ['-std=c11', '-D_GNU_SOURCE', '-O1', '-Wall', '-Wextra', '-Werror'];
    const gcc = (...args: string[]): unknown => execFileSync('gcc', [...flags, ...args]);
    gcc('-pthread', '-o', join(this.dir, 'vmm'), join(support, 'vmm.c'));
    gcc('-shared', '-fPIC', '-o', join(this.dir, 'liar.so'), join(support, 'liar.c'), '-ldl');
  }

  file(bytes: Buffer): string {
    const path = join(this.dir, `file-${this.#files++}`);
    writeFileSync(path, bytes);
    return path;
  }

  #own<T extends ChildProcess>(child: T): T {
    this.#children.push(child);
    return child;
  }

  /** A VMM, not yet connected to anything. */
  async vmm(pages = PAGES, features = ALL_EVENTS, mode = MISSING): Promise<Vmm> {
    const args = ['3', String(pages), features.toString(16), mode.toString(16)];
    const child = this.#own(
      spawn(join(this.dir, 'vmm'), args, { stdio: ['pipe', 'pipe', 'inherit', 'pipe'] }),
    );
    const socket = child.stdio[3] as Duplex;
    return Vmm.start(child, pages, socket);
  }

  /** A VMM that connects to a socket. */
  async vmmAt(path: string): Promise<Vmm> {
    const args = [path, String(PAGES), ALL_EVENTS.toString(16), MISSING.toString(16)];
    const child = this.#own(
      spawn(join(this.dir, 'vmm'), args, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    return Vmm.start(child, PAGES);
  }

  /** A server for a VMM, or, given a path, one that listens there. */
  server(peer: Vmm | string, plan: Plan = {}): Server {
    const opened: number[] = [];
    const stdio: Exclude<StdioOptions, string> = ['ignore', 'ignore', 'pipe', 'pipe'];
    const args: string[] = [];
    const pass = (name: string, what: number | Duplex): void => {
      args.push(name, String(stdio.length));
      stdio.push(what);
    };
    const passFile = (name: string, what: Buffer | number, flags: string | number = 'r'): void => {
      if (typeof what !== 'number') opened.push((what = openSync(this.file(what), flags)));
      pass(name, what);
    };
    const memory = plan.memory ?? memoryBytes();
    passFile('--memory', memory);
    if (plan.sums === undefined || plan.sums === '-') args.push('--sums', '-');
    else passFile('--sums', plan.sums);
    if (plan.workingSet)
      passFile('--working-set', plan.workingSet, plan.direct ? constants.O_DIRECT : 'r');
    if (plan.direct) args.push('--direct');
    if (plan.trace !== undefined) opened.push(openSync(plan.trace, 'a'));
    if (plan.trace !== undefined) pass('--trace', opened.at(-1) ?? -1);
    const wrapper = typeof peer === 'string' ? [join(this.dir, 'vmm'), 'listen', peer] : [];
    if (typeof peer !== 'string' && peer.socket) pass('--vmm', peer.socket);
    else args.push('--listen', String(stdio.length));
    if (wrapper.length > 0) wrapper.push(String(stdio.length));
    const command = [...wrapper, join(this.dir, 'page-server'), ...args, '--control', '3'];
    const [program = '', ...rest] = [...command, ...(plan.more ?? [])];
    const lies = plan.lies && { LD_PRELOAD: join(this.dir, 'liar.so'), ...plan.lies };
    const env = { ...lies, ASAN_OPTIONS: 'verify_asan_link_order=0' };
    const child = this.#own(spawn(program, rest, { stdio, env }));
    opened.forEach((fd) => closeSync(fd));
    // Ours is closed, so that the end of one is seen by the other.
    if (typeof peer !== 'string') peer.socket?.destroy();
    return new Server(child, child.stdio[3] as Duplex);
  }

  /** A VMM and a server that have shaken hands. */
  async pair(plan: Plan = {}, features = ALL_EVENTS, mode = MISSING) {
    const vmm = await this.vmm(PAGES, features, mode);
    const server = this.server(vmm, plan);
    await vmm.hello();
    return { vmm, server, connected: await server.told() };
  }

  /** Ends what a test has left running. */
  async end(): Promise<void> {
    await Promise.all(
      this.#children.splice(0).map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGKILL');
        await new Promise((resolve) => child.once('exit', resolve));
      }),
    );
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
