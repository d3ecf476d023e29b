/** What invocations asked of the pool lately, by snapshot and strategy. */
import type { StrategyChoice } from './chooser.js';
import { recent } from './pool-demand.js';
import type { SnapshotRecord } from './types.js';

/** One kind of pooled VM. */
export interface Kind {
  readonly key: string;
  readonly ssId: string;
  readonly functionName: string;
  readonly memMiB: number;
  readonly strategy: StrategyChoice;
  arrivals: readonly number[];
  /** The strategy has all that it needs of the snapshot: a VM started ahead is as good as any. */
  isLearned: boolean;
  /** How long the last starts took, milliseconds. */
  startMs: number | undefined;
}

/** Arrivals of a kind that are remembered: more make no difference to a pool. */
const REMEMBERED = 1024;

/** After a pooled VM failed: so long until the next is started, doubled with each one, ms. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 300_000;

export function keyOf(ssId: string, strategy: StrategyChoice): string {
  return `${ssId} ${strategy}`;
}

export class Demands {
  readonly #kinds = new Map<string, Kind>();

  /** In the order in which they were first asked for. */
  all(): Kind[] {
    return [...this.#kinds.values()];
  }

  find(key: string): Kind | undefined {
    return this.#kinds.get(key);
  }

  arrived(snapshot: SnapshotRecord, strategy: StrategyChoice, at: number): void {
    const { ssId, functionName, memMiB } = snapshot;
    const key = keyOf(ssId, strategy);
    const kind = this.#kinds.get(key) ?? {
      ...{ key, ssId, functionName, memMiB, strategy },
      arrivals: [],
      isLearned: false,
      startMs: undefined,
    };
    kind.arrivals = [...kind.arrivals, at].slice(-REMEMBERED);
    this.#kinds.set(key, kind);
  }

  /** A start of this kind took so long: the mean of it and those before counts, the last most. */
  took(key: string, startMs: number): void {
    const kind = this.#kinds.get(key);
    if (kind) kind.startMs = kind.startMs === undefined ? startMs : (kind.startMs + startMs) / 2;
  }

  /** Drops what was asked for before `since`. */
  prune(since: number): void {
    for (const kind of this.#kinds.values()) {
      kind.arrivals = recent(kind.arrivals, since);
      if (kind.arrivals.length === 0) this.#kinds.delete(kind.key);
    }
  }

  forget(ssId: string): void {
    for (const kind of this.#kinds.values()) if (kind.ssId === ssId) this.#kinds.delete(kind.key);
  }
}

/** Kinds whose pooled VMs failed, and when the next one may be started. */
export class Backoff {
  readonly #failures = new Map<string, { count: number; until: number }>();

  failed(key: string, now: number): void {
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const waitMs = Math.min(RETRY_MS * 2 ** (count - 1), RETRY_MAX_MS);
    this.#failures.set(key, { count, until: now + waitMs });
  }

  /** One of them has served. */
  served(key: string): void {
    this.#failures.delete(key);
  }

  isOver(key: string, now: number): boolean {
    return now >= (this.#failures.get(key)?.until ?? 0);
  }

  /** Of a snapshot that was deleted. */
  forget(ssId: string): void {
    for (const key of this.#failures.keys()) {
      if (key.startsWith(`${ssId} `)) this.#failures.delete(key);
    }
  }
}
