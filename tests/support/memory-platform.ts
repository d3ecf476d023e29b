/** A platform in memory, for tests of what sits above it. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type {
  FunctionInput,
  FunctionRecord,
  InvocationInput,
  InvocationOutput,
  Platform,
  PlatformInfo,
  PoolInput,
  SnapshotCopyInput,
  SnapshotInput,
  SnapshotPatch,
  SnapshotRecord,
  SnapshotTaken,
  VmInput,
  VmView,
  WorkingSetPlatform,
} from '../../src/control/index.js';
import { SparklerError } from '../../src/errors.js';

const EPOCH = Date.parse('2024-05-06T07:08:09.000Z');

const MINCORE = {
  nlayers: 3,
  n_nz_regions: 40,
  nz_region_size: 5000,
  n_ws_regions: 12,
  ws_region_size: 900,
};

const FILE = { use: 'reap', regions: 7, pages: 100, bytes: 420_000, cached: true } as const;

const RECORDING = {
  kind: 'userfault',
  eventSha256: 'e0',
  eventBytes: 2,
  recordedAt: EPOCH,
  pages: 100,
  groups: 0,
} as const;

const WORKING_SET = {
  pages: 32_768,
  nonZeroPages: 9000,
  recordings: [
    { ...RECORDING, name: 'trace-1' },
    { ...RECORDING, name: 'layers', kind: 'mincore', groups: 3 },
  ],
  files: [FILE],
  similarities: [{ one: 'trace-1', other: 'layers', jaccard: 0.8 }],
  writtenPages: 55,
} as const;

function found<T>(map: Map<string, T>, id: string, code: 'VM' | 'SNAPSHOT' | 'FUNCTION'): T {
  const value = map.get(id);
  if (value) return value;
  throw new SparklerError(`${code}_NOT_FOUND`, `There is no ${code.toLowerCase()} ${id}.`);
}

export class MemoryPlatform implements Platform {
  readonly functions = new Map<string, FunctionRecord>();
  readonly vms = new Map<string, VmView>();
  readonly snapshots = new Map<string, SnapshotRecord>();
  /** Every call that changes something, as `[method, input]`. */
  readonly calls: [string, unknown][] = [];
  /** Set by a test: the next calls fail with it. */
  failure: Error | undefined;
  /** Set by a test: what an invocation gives. */
  onInvoke: (input: InvocationInput) => Partial<InvocationOutput> = () => ({});
  private ids = 0;

  private called(method: string, input: unknown): void {
    this.calls.push([method, input]);
    if (this.failure !== undefined) throw this.failure;
  }

  putFunction(input: FunctionInput): FunctionRecord {
    this.called('putFunction', input);
    const before = this.functions.get(input.name);
    const record: FunctionRecord = {
      image: 'debian',
      kernel: 'debian',
      vcpus: 2,
      memMiB: 2048,
      runtime: 'python3',
      handler: 'app.handler',
      env: {},
      restoreStrategy: 'vanilla',
      timeoutMs: 30_000,
      createdAt: EPOCH,
      ...before,
      ...input,
      placement: { ...before?.placement, ...input.placement },
      updatedAt: EPOCH,
    };
    this.functions.set(input.name, record);
    return record;
  }

  listFunctions(): FunctionRecord[] {
    if (this.failure !== undefined) throw this.failure;
    return [...this.functions.values()];
  }

  getFunction(name: string): FunctionRecord {
    return found(this.functions, name, 'FUNCTION');
  }

  async deleteFunction(name: string): Promise<void> {
    this.called('deleteFunction', name);
    this.getFunction(name);
    this.functions.delete(name);
    return Promise.resolve();
  }

  async putCode(name: string, archive: Readable): Promise<FunctionRecord> {
    this.called('putCode', name);
    const record = this.getFunction(name);
    const hash = createHash('sha256');
    let codeBytes = 0;
    for await (const chunk of archive) {
      hash.update(chunk as Buffer);
      codeBytes += (chunk as Buffer).length;
    }
    const changed = { ...record, codeId: hash.digest('hex'), codeBytes };
    this.functions.set(name, changed);
    return changed;
  }

  functionLogs(name: string): string {
    this.getFunction(name);
    return `${name} says é\n`;
  }

  async listVms(): Promise<VmView[]> {
    return Promise.resolve([...this.vms.values()]);
  }

  async getVm(vmId: string): Promise<VmView> {
    return Promise.resolve(found(this.vms, vmId, 'VM'));
  }

  async createVm(input: VmInput): Promise<VmView> {
    this.called('createVm', input);
    const record = this.getFunction(input.functionName);
    const vmId = `vm${++this.ids}`;
    const vm: VmView = {
      vmId,
      functionName: record.name,
      state: 'starting',
      startKind: input.ssId === undefined ? 'cold' : 'snapshot',
      ...(input.ssId === undefined ? {} : { ssId: input.ssId }),
      vcpus: input.vcpus ?? record.vcpus,
      memMiB: input.memMiB ?? record.memMiB,
      image: record.image,
      kernel: input.kernel ?? record.kernel,
      accelerator: 'none',
      path: `/data/vms/${vmId}`,
      pid: 4242,
      invocations: 0,
      busy: false,
      createdAt: EPOCH,
      residentBytes: 50 * 1024 * 1024,
      memory: {
        policy: input.memoryPolicy ?? 'static',
        configuredMiB: input.memMiB ?? record.memMiB,
        pluggedMiB: input.memMiB ?? record.memMiB,
        grantedMiB: 0,
      },
    };
    this.vms.set(vmId, vm);
    return Promise.resolve(vm);
  }

  async resizeVm(vmId: string, memMiB: number): Promise<VmView> {
    this.called('resizeVm', { vmId, memMiB });
    const vm = found(this.vms, vmId, 'VM');
    const resized: VmView = {
      ...vm,
      memory: {
        ...{ ...vm.memory, pluggedMiB: memMiB, usedByGuestBytes: 1, instances: [] },
        blocks: [{ node: 1, memMiB: 512, state: 'free', residentBytes: 2, usedBytes: 3 }],
      },
    };
    this.vms.set(vmId, resized);
    return Promise.resolve(resized);
  }

  async poolVm(input: PoolInput): Promise<VmView> {
    const ssId = input.ssId ?? [...this.snapshots.keys()].at(-1) ?? '';
    const { functionName } = found(this.snapshots, ssId, 'SNAPSHOT');
    const vm = await this.createVm({ functionName, ssId });
    const pooled: VmView = { ...vm, pooled: true };
    this.vms.set(vm.vmId, pooled);
    this.called('poolVm', input);
    return pooled;
  }

  async deleteVm(vmId: string): Promise<void> {
    this.called('deleteVm', vmId);
    found(this.vms, vmId, 'VM');
    this.vms.delete(vmId);
    return Promise.resolve();
  }

  vmConsole(vmId: string): string {
    found(this.vms, vmId, 'VM');
    return '[    0.000000] Linux version 6.12\n';
  }

  async takeSnapshot(input: SnapshotInput): Promise<SnapshotTaken> {
    this.called('takeSnapshot', input);
    const vm = found(this.vms, input.vmId, 'VM');
    const ssId = input.ssId ?? `ss${++this.ids}`;
    const snapshot: SnapshotRecord = {
      ssId,
      vmId: vm.vmId,
      functionName: vm.functionName,
      statePath: input.statePath ?? `/data/snapshots/${ssId}/state`,
      memoryPath: input.memoryPath ?? `/data/snapshots/${ssId}/memory`,
      vcpus: vm.vcpus,
      memMiB: vm.memMiB,
      image: vm.image,
      kernel: vm.kernel,
      codeId: 'c0de',
      version: 'fake 1',
      regions: { record: true, intervalThreshold: 32, sizeThreshold: 0 },
      createdAt: EPOCH,
      diskBytes: 100 * 1024 * 1024,
    };
    this.snapshots.set(ssId, snapshot);
    return Promise.resolve({ snapshot, totalMs: 12.5, pausedMs: 8.25 });
  }

  listSnapshots(): SnapshotRecord[] {
    return [...this.snapshots.values()];
  }

  getSnapshot(ssId: string): SnapshotRecord {
    return found(this.snapshots, ssId, 'SNAPSHOT');
  }

  async patchSnapshot(ssId: string, patch: SnapshotPatch): Promise<void> {
    this.called('patchSnapshot', [ssId, patch]);
    this.getSnapshot(ssId);
    return Promise.resolve();
  }

  async copySnapshot(input: SnapshotCopyInput): Promise<SnapshotRecord> {
    this.called('copySnapshot', input);
    const source = this.getSnapshot(input.from);
    const ssId = input.ssId ?? `ss${++this.ids}`;
    const memoryPath = input.memoryPath ?? `/data/snapshots/${ssId}/memory`;
    const copy = { ...source, ssId, memoryPath, statePath: `/data/snapshots/${ssId}/state` };
    this.snapshots.set(ssId, copy);
    return Promise.resolve(copy);
  }

  /** What the methods of `workingSets` answer; calls are in `calls`. */
  readonly workingSets: WorkingSetPlatform = {
    mincore: (ssId) => this.onSet(ssId, MINCORE),
    carryMincore: (ssId, source) => this.onSet(ssId, undefined, 'carryMincore', source),
    addMincoreLayer: (ssId, position, fromDiff) =>
      this.onSet(ssId, undefined, 'addMincoreLayer', position, fromDiff),
    patchMincore: (ssId, patch) => this.onSet(ssId, undefined, 'patchMincore', patch),
    reap: (ssId) => this.onSet(ssId, { traces: 2, file: FILE }),
    cacheReap: (ssId, keep) => this.onSet(ssId, undefined, 'cacheReap', keep),
    forgetReap: (ssId) => this.onSet(ssId, undefined, 'forgetReap'),
    workingSet: (ssId, atLeast) =>
      this.onSet(ssId, {
        ...WORKING_SET,
        ...(atLeast !== undefined && { common: { atLeast, pages: 80 } }),
      }),
    picture: (ssId, use) => this.onSet(ssId, `<svg aria-label="${use ?? 'latest'}"/>`),
    forget: (ssId) => this.onSet(ssId, undefined, 'forget'),
    verify: (ssId) =>
      this.onSet(ssId, {
        memoryId: 'ab12',
        files: [
          { name: 'memory', bytes: 4096 },
          { name: 'state', bytes: 10 },
        ],
        dropped: [],
        durationMs: 3.5,
      }),
  };

  private async onSet<T>(
    ssId: string,
    answer: T,
    method?: string,
    ...input: readonly unknown[]
  ): Promise<T> {
    if (method !== undefined) this.called(method, [ssId, ...input]);
    if (this.failure !== undefined) throw this.failure;
    this.getSnapshot(ssId);
    return Promise.resolve(answer);
  }

  async deleteSnapshot(ssId: string): Promise<void> {
    this.called('deleteSnapshot', ssId);
    this.getSnapshot(ssId);
    this.snapshots.delete(ssId);
    return Promise.resolve();
  }

  async invoke(input: InvocationInput): Promise<InvocationOutput> {
    this.called('invoke', input);
    this.getFunction(input.functionName);
    return Promise.resolve({
      vmId: input.vmId ?? 'vm-new',
      traceId: input.traceId ?? '',
      startKind: input.vmId !== undefined ? 'warm' : input.ssId !== undefined ? 'snapshot' : 'cold',
      result: input.params ?? '{}',
      durationMs: 12.5,
      handlerMs: 1.25,
      phases: { ready: 3, firstResponse: 12 },
      faults: { minor: 10, major: 1 },
      logs: 'printed\n',
      ...this.onInvoke(input),
    });
  }

  info(): PlatformInfo {
    return {
      version: '0.1.0',
      accelerator: 'tcg',
      acceleratorReason: '/dev/kvm does not exist',
      vmm: 'fake 1',
      dataDir: '/data',
      warnings: ['VMs run without cgroups of their own.'],
      pool: {
        ...{ vms: 1, memMiB: 512, maxVms: 2, maxMemMiB: 4096 },
        ...{ windowMs: 60_000, keepMs: 300_000 },
      },
      reclaimed: { vms: 2 },
    };
  }

  async metrics(): Promise<string> {
    return Promise.resolve('# HELP x y\nx 1\n');
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}
