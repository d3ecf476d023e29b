/** Counts the words of a text: a function in TypeScript, bundled when it is deployed. */

interface Event {
  /** The text to count in. */
  text?: string;
  /** How many of the most frequent words to answer. */
  top?: number;
}

interface Context {
  awsRequestId: string;
}

const DEFAULT_TEXT = 'the quick brown fox jumps over the lazy dog and the dog does not mind';
const DEFAULT_TOP = 3;

export async function handler(event: Event, context: Context): Promise<object> {
  const began = Date.now() / 1000;
  const counts = new Map<string, number>();
  for (const word of (event.text ?? DEFAULT_TEXT).toLowerCase().match(/\p{L}+/gu) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const ranked = [...counts].sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
  const top = ranked.slice(0, event.top ?? DEFAULT_TOP).map(([word, count]) => ({ word, count }));
  return {
    words: counts.size,
    top,
    requestId: context.awsRequestId,
    began,
    ended: Date.now() / 1000,
  };
}
