/** The daemon's end of native/qemu-preload: one command, one answer, in turn. */
import type { Duplex } from 'node:stream';
import { getSystemErrorName } from 'node:util';
import { SparklerError } from '../../errors.js';
import type { Populated } from '../memory.js';

/** Where guest memory is in the VMM's address space. */
export interface MemoryRegion {
  readonly address: bigint;
  readonly length: number;
}

const NS_PER_MS = 1e6;

export class Preload {
  readonly #stream: Duplex;
  /** Settles when the last command has its answer. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  /** Makes the shared mapping of guest memory private. The VM must be paused. */
  async makePrivate(): Promise<void> {
    const answer = await this.#ask('P', 1);
    if (answer.toString('latin1') !== 'p') {
      throw new SparklerError('VMM_FAILED', 'Guest memory could not be mapped privately.');
    }
  }

  async region(): Promise<MemoryRegion> {
    const answer = await this.#ask('A', 17);
    return { address: answer.readBigUInt64LE(1), length: Number(answer.readBigUInt64LE(9)) };
  }

  /** What the populating thread of a layered restore has done so far. */
  async populated(): Promise<Populated> {
    const answer = await this.#ask('S', 25);
    return { pages: u64(answer, 1), ms: u64(answer, 9) / NS_PER_MS };
  }

  /** Resolves when the populating thread has done all that it had to. */
  async waitPopulated(): Promise<void> {
    await this.#ask('W', 1);
  }

  /** Gets host memory for a part of a block. Other commands wait meanwhile. */
  async populateBlock(block: number, offset: number, bytes: number): Promise<Populated> {
    const request = Buffer.alloc(20);
    request.writeUInt32LE(block, 0);
    request.writeBigUInt64LE(BigInt(offset), 4);
    request.writeBigUInt64LE(BigInt(bytes), 12);
    const answer = await this.#ask('F', 21, request);
    failOn(answer.readUInt32LE(1), `Block ${block} of memory could not be populated`);
    return { pages: u64(answer, 5), ms: u64(answer, 13) / NS_PER_MS };
  }

  /** Gives all host memory of a block back. */
  async discardBlock(block: number): Promise<void> {
    const request = Buffer.alloc(4);
    request.writeUInt32LE(block);
    const answer = await this.#ask('D', 5, request);
    failOn(answer.readUInt32LE(1), `Block ${block} of memory could not be given back`);
  }

  /** Host memory behind the memory to plug in, and behind each block, bytes. */
  async blocksResident(blocks: number): Promise<number[]> {
    const request = Buffer.alloc(4);
    request.writeUInt32LE(blocks + 1);
    const answer = await this.#ask('B', 1 + 8 * (blocks + 1), request);
    return Array.from({ length: blocks + 1 }, (_, k) => u64(answer, 1 + 8 * k));
  }

  #ask(
    command: 'P' | 'A' | 'S' | 'W' | 'F' | 'D' | 'B',
    answerBytes: number,
    request: Buffer = Buffer.alloc(0),
  ): Promise<Buffer> {
    const bytes = Buffer.concat([Buffer.from(command, 'latin1'), request]);
    const answer = this.#turn.then(() => this.#exchange(bytes, answerBytes));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  #exchange(request: Buffer, answerBytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#stream;
      const gone = 'The VMM ended while its memory was handled.';
      if (stream.destroyed) {
        reject(new SparklerError('VMM_FAILED', gone));
        return;
      }
      let got = Buffer.alloc(0);
      const stop = (): void => {
        stream.off('data', onData);
        stream.off('close', onClose);
      };
      const onData = (chunk: Buffer): void => {
        got = Buffer.concat([got, chunk]);
        if (got.length < answerBytes) return;
        stop();
        resolve(got);
      };
      const onClose = (): void => {
        stop();
        reject(new SparklerError('VMM_FAILED', gone));
      };
      stream.on('data', onData);
      stream.on('close', onClose);
      stream.write(request);
    });
  }
}

const u64 = (answer: Buffer, at: number): number => Number(answer.readBigUInt64LE(at));

function failOn(errno: number, what: string): void {
  if (errno === 0) return;
  const reason = getSystemErrorName(-errno);
  const hint = reason === 'EINVAL' ? ' The host needs Linux 5.14 or later.' : '';
  throw new SparklerError('VMM_FAILED', `${what}: ${reason}.${hint}`);
}
