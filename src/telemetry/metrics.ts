/**
 * The daemon's metrics. Labels come from small closed sets (start kind, error code, state): never
 * a function's name or an id, whose number nobody bounds.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Upper bounds of durations, seconds: from a warm call to a slow boot. */
const SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80,
];

export class Metrics {
  readonly #registry = new Registry();
  readonly #invocations = this.#counter('invocations_total', 'Invocations that ended', [
    'start_kind',
    'outcome',
  ]);
  readonly #duration = this.#histogram(
    'invocation_duration_seconds',
    'From the request to its answer',
    ['start_kind'],
  );
  readonly #handler = this.#histogram(
    'invocation_handler_seconds',
    "In the handler, by the guest's clock",
    ['start_kind'],
  );
  readonly #phase = this.#histogram(
    'invocation_phase_seconds',
    'From the request until the phase was reached',
    ['start_kind', 'phase'],
  );
  readonly #starts = this.#counter('vm_starts_total', 'VM starts that ended', ['kind', 'outcome']);
  readonly #retries = this.#counter('boot_retries_total', 'Boots that failed and were retried', []);
  readonly #ends = this.#counter('vm_ends_total', 'VMs that ended', ['reason']);
  readonly #takes = this.#counter(
    'pool_takes_total',
    'Invocations of a snapshot that found a pooled VM (hit) or did not (miss)',
    ['outcome'],
  );
  readonly #replaced = this.#counter(
    'pool_replaced_total',
    'Pooled VMs that failed before anybody was served by them',
    [],
  );
  readonly #reclaimed = this.#counter(
    'reclaimed_total',
    'What an earlier daemon left and this one ended',
    ['kind'],
  );
  readonly #snapshots = this.#histogram(
    'snapshot_duration_seconds',
    'Taking a snapshot; paused: the guest stood still',
    ['part'],
  );

  /** @param state reads what is counted when somebody asks: VMs by state, snapshots, bytes. */
  constructor(state: MetricsState) {
    collectDefaultMetrics({ register: this.#registry, prefix: 'sparkler_' });
    this.#gauge('vms', 'VMs by state', ['state'], (gauge) => {
      for (const [name, count] of Object.entries(state.vmsByState())) {
        gauge.set({ state: name }, count);
      }
    });
    this.#gauge('pool_vms', 'Pooled VMs by state', ['state'], (gauge) => {
      for (const [name, count] of Object.entries(state.pooledByState())) {
        gauge.set({ state: name }, count);
      }
    });
    this.#gauge('snapshots', 'Snapshots', [], (gauge) => gauge.set(state.snapshots().count));
    this.#gauge('snapshot_disk_bytes', 'Bytes that snapshots take on the disk', [], (gauge) =>
      gauge.set(state.snapshots().diskBytes),
    );
  }

  invocationEnded(ended: EndedInvocation): void {
    const { startKind, outcome, durationMs, handlerMs, phases } = ended;
    this.#invocations.inc({ start_kind: startKind, outcome });
    this.#duration.observe({ start_kind: startKind }, durationMs / 1000);
    if (handlerMs !== undefined) {
      this.#handler.observe({ start_kind: startKind }, handlerMs / 1000);
    }
    for (const [phase, ms] of Object.entries(phases ?? {})) {
      this.#phase.observe({ start_kind: startKind, phase }, ms / 1000);
    }
  }
  vmStarted(kind: 'cold' | 'snapshot', outcome: string): void {
    this.#starts.inc({ kind, outcome });
  }
  bootRetried(): void {
    this.#retries.inc();
  }
  vmEnded(reason: VmEnd): void {
    this.#ends.inc({ reason });
  }
  poolTaken(outcome: 'hit' | 'miss'): void {
    this.#takes.inc({ outcome });
  }
  poolReplaced(): void {
    this.#replaced.inc();
  }
  reclaimed(counts: Readonly<Record<string, number>>): void {
    for (const [kind, count] of Object.entries(counts)) this.#reclaimed.inc({ kind }, count);
  }
  snapshotTaken(totalMs: number, pausedMs: number): void {
    this.#snapshots.observe({ part: 'total' }, totalMs / 1000);
    this.#snapshots.observe({ part: 'paused' }, pausedMs / 1000);
  }

  /** Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name: `sparkler_${name}`, help, labelNames, registers: [this.#registry] });
  }
  #histogram<L extends string>(name: string, help: string, labelNames: L[]): Histogram<L> {
    const common = { buckets: SECONDS, registers: [this.#registry] };
    return new Histogram({ name: `sparkler_${name}`, help, labelNames, ...common });
  }
  #gauge<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    read: (gauge: Gauge<L>) => void,
  ): void {
    new Gauge({
      name: `sparkler_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        read(this);
      },
    });
  }
}

/**
 * Why a VM ended: asked for, idle too long, its start failed, it died, the daemon stopped; of a
 * pooled one also that nobody took it, or that another needed its place.
 */
export type VmEnd =
  'deleted' | 'idle' | 'start-failed' | 'died' | 'shutdown' | 'unused' | 'gave-way';

/** What `Metrics` reads when somebody asks for the metrics. */
export interface MetricsState {
  vmsByState(): Readonly<Record<string, number>>;
  pooledByState(): Readonly<Record<string, number>>;
  snapshots(): { readonly count: number; readonly diskBytes: number };
}

export interface EndedInvocation {
  readonly startKind: string;
  /** `ok`, or the error's code. */
  readonly outcome: string;
  readonly durationMs: number;
  readonly handlerMs?: number;
  readonly phases?: Readonly<Record<string, number>>;
}
