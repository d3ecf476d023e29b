/** What the agent itself was asked, and what it answers by the request's number. */
import type { SparklerError } from '../errors.js';
import { Call } from './call.js';
import type { Frame, FrameType } from './frames.js';

export class Questions {
  readonly #asked = new Map<number, { readonly answer: FrameType; readonly call: Call<Buffer> }>();

  /** `answer`: the type of frame that answers. */
  open(request: number, answer: FrameType): Call<Buffer> {
    const call = new Call<Buffer>();
    this.#asked.set(request, { answer, call });
    return call;
  }

  /** Nobody waits for its answer any more. */
  forget(request: number): void {
    this.#asked.delete(request);
  }

  /** An answer after its limit, that nobody waits for, is passed over. */
  answer(frame: Frame): void {
    const asked = this.#asked.get(frame.request);
    if (asked?.answer !== frame.type) return;
    this.#asked.delete(frame.request);
    asked.call.resolve(frame.payload);
  }

  fail(error: SparklerError): void {
    for (const { call } of this.#asked.values()) call.reject(error);
    this.#asked.clear();
  }
}
