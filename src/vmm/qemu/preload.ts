/** The daemon's end of native/qemu-preload: one byte asked, one answer, one at a time. */
import type { Duplex } from 'node:stream';
import { SparklerError } from '../../errors.js';

/** Where guest memory is in the VMM's address space. */
export interface MemoryRegion {
  readonly address: bigint;
  readonly length: number;
}

const NS_PER_MS = 1e6;

export class Preload {
  readonly #stream: Duplex;

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
  async populated(): Promise<{ readonly pages: number; readonly ms: number }> {
    const answer = await this.#ask('S', 25);
    const number = (at: number): number => Number(answer.readBigUInt64LE(at));
    return { pages: number(1), ms: number(9) / NS_PER_MS };
  }

  /** Resolves when the populating thread has done all that it had to. */
  async waitPopulated(): Promise<void> {
    await this.#ask('W', 1);
  }

  #ask(command: 'P' | 'A' | 'S' | 'W', answerBytes: number): Promise<Buffer> {
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
      stream.write(command);
    });
  }
}
