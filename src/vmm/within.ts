import { SparklerError } from '../errors.js';

/** A wait met its limit; whoever waited says what that means. Never reaches a user as it is. */
export class LimitExpired extends SparklerError {
  constructor(limitMs: number) {
    super('INTERNAL', `Not done within ${limitMs} ms.`);
  }
}

/** Waits for `work` at most `limitMs`. @throws LimitExpired, or what `work` throws. */
export async function within<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LimitExpired(limitMs)), limitMs);
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}
