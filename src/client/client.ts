/** The SDK: typed calls of the daemon's HTTP API. */
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import createClient, { type Client } from 'openapi-fetch';
import { SparklerError } from '../errors.js';
import type { components, operations, paths } from './generated/schema.js';
import { nodeFetch } from './transport.js';
import { errorFromWire } from './wire-error.js';

type Schemas = components['schemas'];
export type FunctionView = Schemas['Function'];
export type FunctionSettings = Schemas['FunctionInput'];
export type Vm = Schemas['VM'];
export type VmSettings = Schemas['VMInput'];
export type VmmSettings = Schemas['VMMInput'];
export type Snapshot = Schemas['Snapshot'];
export type SnapshotTaken = Schemas['SnapshotTaken'];
export type SnapshotSettings = Schemas['SnapshotInput'];
export type SnapshotPatch = Schemas['SnapshotPatch'];
export type SnapshotCopy = operations['copySnapshot']['parameters']['query'];
export type Verification = Schemas['Verification'];
export type WorkingSet = Schemas['WorkingSet'];
export type WorkingSetStrategy = WorkingSet['files'][number]['strategy'];
export type Mincore = Schemas['Mincore'];
export type MincoreLayer = Schemas['MincoreLayer'];
export type MincorePatch = Schemas['MincorePatch'];
export type Reap = Schemas['Reap'];
export type Invocation = Schemas['Invocation'];
export type InvocationResult = Schemas['InvocationResult'];
export type Info = Schemas['Info'];

export const DEFAULT_URL = 'http://127.0.0.1:8080';

export interface ClientOptions {
  /** Where the daemon listens. Default: http://127.0.0.1:8080. */
  readonly baseUrl?: string | undefined;
  /** Ends every call of this client that is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** What openapi-fetch gives: one of `data` and `error`. */
interface Outcome<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

const TEXT = { parseAs: 'text' } as const;

function checkUrl(url: string): string {
  if (URL.canParse(url) && new URL(url).protocol === 'http:') return new URL(url).origin;
  throw new SparklerError(
    'INVALID_REQUEST',
    `url: ${url} is not the address of a daemon; one looks like ${DEFAULT_URL}.`,
    { field: 'url' },
  );
}

/**
 * A daemon, from the outside. Every method throws SparklerError: what the daemon answered, or
 * DAEMON_UNREACHABLE.
 */
export class SparklerClient {
  /** Where the daemon listens, without a path. */
  readonly url: string;
  private readonly http: Client<paths>;
  private readonly agent = new Agent({ keepAlive: true });

  /** @throws SparklerError INVALID_REQUEST when `baseUrl` is no http address */
  constructor({ baseUrl = DEFAULT_URL, signal }: ClientOptions = {}) {
    this.url = checkUrl(baseUrl);
    this.http = createClient<paths>({
      baseUrl: this.url,
      fetch: (request: Request) => nodeFetch(request, this.agent),
      ...(signal ? { signal } : {}),
    });
  }

  /** Closes idle connections. The client can be used again. */
  close(): void {
    this.agent.destroy();
  }

  private async answer<T>(call: Promise<Outcome<T>>): Promise<T> {
    const { data, error, response } = await call;
    if (response.ok && error === undefined) return data as T;
    throw errorFromWire(error, response.status, this.url);
  }

  readonly functions = {
    list: (): Promise<readonly FunctionView[]> => this.answer(this.http.GET('/functions')),
    get: (name: string): Promise<FunctionView> =>
      this.answer(this.http.GET('/functions/{func_name}', at(name))),
    /** Creates the function or changes its settings. */
    put: (body: FunctionSettings): Promise<FunctionView> =>
      this.answer(this.http.POST('/functions', { body })),
    delete: (name: string): Promise<void> =>
      this.answer(this.http.DELETE('/functions/{func_name}', at(name))),
    /** Uploads a zip or tar archive. */
    putCode: (name: string, archive: Readable): Promise<FunctionView> =>
      this.answer(
        this.http.PUT('/functions/{func_name}/code', {
          ...at(name),
          headers: { 'content-type': 'application/octet-stream' },
          body: archive as never,
          bodySerializer: () => Readable.toWeb(archive) as never,
          duplex: 'half',
        }),
      ),
    /** The last lines that it printed. */
    logs: (name: string): Promise<string> =>
      this.answer(this.http.GET('/functions/{func_name}/logs', { ...at(name), ...TEXT })),
  };

  readonly vms = {
    list: (): Promise<readonly Vm[]> => this.answer(this.http.GET('/vms')),
    get: (vmId: string): Promise<Vm> => this.answer(this.http.GET('/vms/{vmId}', vm(vmId))),
    /** Answers at once; the VM may still be starting. */
    start: (body: VmSettings): Promise<Vm> => this.answer(this.http.POST('/vms', { body })),
    /** Starts one for the pool: the next invocation of its snapshot takes it. */
    pool: (body: VmmSettings = {}): Promise<Vm> => this.answer(this.http.POST('/vmms', { body })),
    /** Sets its memory by hand, MiB. */
    resize: (vmId: string, mem: number): Promise<Vm> =>
      this.answer(this.http.PATCH('/vms/{vmId}', { ...vm(vmId), body: { mem } })),
    delete: (vmId: string): Promise<void> => this.answer(this.http.DELETE('/vms/{vmId}', vm(vmId))),
    console: (vmId: string): Promise<string> =>
      this.answer(this.http.GET('/vms/{vmId}/console', { ...vm(vmId), ...TEXT })),
  };

  readonly snapshots = {
    list: (): Promise<readonly Snapshot[]> => this.answer(this.http.GET('/snapshots')),
    get: (ssId: string): Promise<Snapshot> =>
      this.answer(this.http.GET('/snapshots/{ssId}', ss(ssId))),
    take: (body: SnapshotSettings): Promise<SnapshotTaken> =>
      this.answer(this.http.POST('/snapshots', { body })),
    patch: (ssId: string, body: SnapshotPatch): Promise<void> =>
      this.answer(this.http.PATCH('/snapshots/{ssId}', { ...ss(ssId), body })),
    delete: (ssId: string): Promise<void> =>
      this.answer(this.http.DELETE('/snapshots/{ssId}', ss(ssId))),
    /** A copy with a memory file of its own and all that was recorded. */
    copy: (query: SnapshotCopy): Promise<Snapshot> =>
      this.answer(this.http.PUT('/snapshots', { params: { query } })),
    /** Reads all of it and verifies it. */
    verify: (ssId: string): Promise<Verification> =>
      this.answer(this.http.POST('/snapshots/{ssId}/verify', ss(ssId))),
  };

  /** What was recorded of snapshots, and what is made of it. */
  readonly workingSets = {
    /** @param atLeast also counts the pages that are in so many of the recordings. */
    get: (ssId: string, atLeast?: number): Promise<WorkingSet> =>
      this.answer(
        this.http.GET('/snapshots/{ssId}/working-set', {
          params: {
            path: { ssId },
            query: atLeast === undefined ? {} : { at_least: String(atLeast) },
          },
        }),
      ),
    /** SVG. Default strategy: the one whose file was made last. */
    picture: (ssId: string, strategy?: WorkingSetStrategy): Promise<string> =>
      this.answer(
        this.http.GET('/snapshots/{ssId}/working-set/picture', {
          params: { path: { ssId }, query: strategy === undefined ? {} : { strategy } },
          ...TEXT,
        }),
      ),
    /** Forgets all recordings and what was made of them. */
    forget: (ssId: string): Promise<void> =>
      this.answer(this.http.DELETE('/snapshots/{ssId}/working-set', ss(ssId))),
    mincore: (ssId: string): Promise<Mincore> =>
      this.answer(this.http.GET('/snapshots/{ssId}/mincore', ss(ssId))),
    carryMincore: (ssId: string, source: string): Promise<void> =>
      this.answer(
        this.http.PUT('/snapshots/{ssId}/mincore', {
          params: { path: { ssId }, query: { source } },
        }),
      ),
    addMincoreLayer: (ssId: string, body: MincoreLayer): Promise<void> =>
      this.answer(this.http.POST('/snapshots/{ssId}/mincore', { ...ss(ssId), body })),
    patchMincore: (ssId: string, body: MincorePatch): Promise<void> =>
      this.answer(this.http.PATCH('/snapshots/{ssId}/mincore', { ...ss(ssId), body })),
    reap: (ssId: string): Promise<Reap> =>
      this.answer(this.http.GET('/snapshots/{ssId}/reap', ss(ssId))),
    /** Reads REAP's working-set file into the page cache, or drops it from there. */
    cacheReap: (ssId: string, keep: boolean): Promise<void> =>
      this.answer(this.http.PATCH('/snapshots/{ssId}/reap', { ...ss(ssId), body: keep })),
    forgetReap: (ssId: string): Promise<void> =>
      this.answer(this.http.DELETE('/snapshots/{ssId}/reap', ss(ssId))),
  };

  /** Invokes a function: warm with `vmId`, from a snapshot with `ssId`, else cold. */
  invoke(body: Invocation): Promise<InvocationResult> {
    return this.answer(this.http.POST('/invocations', { body }));
  }

  /** Creates or changes a function and uploads its code. */
  async deploy(settings: FunctionSettings, archive: Readable): Promise<FunctionView> {
    try {
      await this.functions.put(settings);
      return await this.functions.putCode(settings.func_name, archive);
    } finally {
      archive.destroy();
    }
  }

  info(): Promise<Info> {
    return this.answer(this.http.GET('/info'));
  }

  /** Prometheus' text format. */
  metrics(): Promise<string> {
    return this.answer(this.http.GET('/metrics', TEXT));
  }
}

const at = (func_name: string) => ({ params: { path: { func_name } } });
const vm = (vmId: string) => ({ params: { path: { vmId } } });
const ss = (ssId: string) => ({ params: { path: { ssId } } });
