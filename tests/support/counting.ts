/** A function that counts, a snapshot of it, and clones of that which come from a template. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestDaemon } from './daemon.js';
import { statusOf } from './processes.js';

const CODE = `
import time
count = 0

def handler(event, context):
    global count
    time.sleep(event.get("seconds", 0))
    count += event.get("add", 0)
    return count
`;
const SETTINGS = {
  func_name: 'count',
  runtime: 'python3',
  handler: 'app.handler',
  vcpu: 1,
  mem_size: 256,
} as const;

export interface Clone {
  readonly vmId: string;
  readonly pid: number;
  /** The process that it was forked from: the daemon, or a template. */
  readonly parent: number;
  readonly count: number;
}

export class Counting {
  private constructor(
    readonly daemon: TestDaemon,
    /** A VM that was booted and has counted to 10. */
    readonly booted: string,
    /** A snapshot of it. */
    readonly ssId: string,
  ) {}

  static async begin(daemon: TestDaemon): Promise<Counting> {
    await daemon.deployFiles({ 'app.py': CODE }, SETTINGS);
    const params = JSON.stringify({ add: 10 });
    const { vmId } = await daemon.client.invoke({ func_name: 'count', params });
    return new Counting(daemon, vmId, (await daemon.client.snapshots.take({ vmId })).ssId);
  }

  async clone(add = 0, ssId = this.ssId): Promise<Clone> {
    const params = JSON.stringify({ add });
    const { client } = this.daemon;
    const { vmId, result } = await client.invoke({ func_name: 'count', ssId, params });
    const pid = Number((await client.vms.get(vmId)).pid);
    return { vmId, pid, parent: Number(statusOf(pid, 'PPid')), count: Number(result) };
  }

  async add({ vmId }: Clone, add: number): Promise<number> {
    const params = JSON.stringify({ add });
    return Number((await this.daemon.client.invoke({ func_name: 'count', vmId, params })).result);
  }

  async end(...clones: Clone[]): Promise<void> {
    await Promise.all(clones.map(({ vmId }) => this.daemon.client.vms.delete(vmId)));
  }

  /** Clones until one comes from a template, and answers its process. */
  async template(): Promise<number> {
    for (;;) {
      const one = await this.clone();
      await this.end(one);
      if (one.parent !== this.daemon.pid) return one.parent;
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

const LOOK_AGAIN_MS = 100;
