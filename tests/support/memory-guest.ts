/** A guest whose process 1 does with its memory what a test says: native/memory-guest.c. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { cpio } from '../../src/image/cpio.js';
import { REPOSITORY } from './daemon.js';

const FOLDERS = ['dev', 'proc', 'sys', 'mods'];
const MODULES = ['virtio_mem', 'virtio_balloon'];

/**
 * Makes its initramfs in `dir`, with the kernel's own modules.
 * @param kernelPath a built kernel: its manifest says what its modules are unpacked from.
 */
export function memoryGuestInitrd(dir: string, kernelPath: string): string {
  const init = join(dir, 'memory-guest');
  const source = join(REPOSITORY, 'tests/support/native/memory-guest.c');
  const flags = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];
  execFileSync('gcc', [...flags, '-o', init, source]);
  const path = join(dir, 'memory-guest.cpio');
  writeFileSync(
    path,
    cpio([
      ...FOLDERS.map((folder) => ({ path: folder, mode: 0o755 })),
      { path: 'init', mode: 0o755, data: readFileSync(init) },
      ...MODULES.map((name) => ({
        path: `mods/${name}.ko`,
        mode: 0o644,
        data: readFileSync(join(modulesOf(kernelPath), `${name}.ko`)),
      })),
    ]),
  );
  return path;
}

function modulesOf(kernelPath: string): string {
  const built = dirname(kernelPath);
  const { name, inputs } = JSON.parse(readFileSync(join(built, 'manifest.json'), 'utf8')) as {
    readonly name: string;
    readonly inputs: { readonly base: string };
  };
  // cache/kernels/NAME/KEY, and beside it cache/bases/kernel-NAME/KEY.
  return join(built, '../../../bases', `kernel-${name}`, inputs.base, 'mods');
}

/** Pages of 4 KiB. */
export interface NodePages {
  readonly managed: number;
  readonly free: number;
}

/** A process in the guest, and on which nodes its pages are. */
export interface Taken {
  readonly pid: number;
  readonly pages: Readonly<Record<number, number>>;
}

export class MemoryGuest {
  readonly #channel: Duplex;
  readonly #lines: AsyncIterator<string>;

  constructor(channel: Duplex) {
    this.#channel = channel;
    this.#lines = createInterface({ input: channel })[Symbol.asyncIterator]();
  }

  /** Waits until a booting guest serves. */
  async ready(): Promise<void> {
    const line = await this.#line();
    if (line !== 'ready') throw new Error(`the guest said ${line}`);
  }

  async load(module: string): Promise<void> {
    await this.#ask(`load ${module}`);
  }

  async node(number: number): Promise<NodePages> {
    const nodes = (await this.#ask('nodes')).trim().split(' ');
    const found = nodes.map((node) => node.split(':').map(Number)).find(([id]) => id === number);
    return { managed: found?.[1] ?? 0, free: found?.[2] ?? 0 };
  }

  /** A process bound to `node` writes so much memory, and keeps it. */
  async take(node: number, mib: number): Promise<Taken> {
    const [pid, ...counts] = (await this.#ask(`take ${node} ${mib}`)).split(' ');
    const pages = counts.map((count) => count.split(':').map(Number) as [number, number]);
    return { pid: Number(pid), pages: Object.fromEntries(pages) };
  }

  /** How many of its pages a process reads as it wrote them. */
  async intact({ pid }: Taken): Promise<number> {
    return Number(await this.#ask(`sum ${pid}`));
  }

  async end({ pid }: Taken): Promise<void> {
    await this.#ask(`end ${pid}`);
  }

  async #ask(command: string): Promise<string> {
    this.#channel.write(`${command}\n`);
    const answer = await this.#line();
    if (answer.startsWith('error')) throw new Error(`${command}: ${answer}`);
    return answer;
  }

  async #line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error('the guest is gone');
    return next.value;
  }
}
