/** What a figure depends on: the machine and the versions. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { loadConfig } from '../src/config/index.js';
import { resolveKernel } from '../src/image/index.js';
import { REPOSITORY } from './harness.js';

const MIB = 1024 * 1024;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMiB: number;
  /** The host's kernel. */
  readonly kernel: string;
  /** How guests ran; `none` where no guest took part. */
  readonly accelerator: string;
  /** Load averages of 1, 5 and 15 minutes when the benchmark began. */
  readonly load: readonly number[];
}

export interface Versions {
  readonly sparkler: string;
  readonly node: string;
  /** Absent, like the next one, where no VM took part. */
  readonly qemu?: string;
  readonly guestKernel?: string;
  /** gVisor's, where it took part. */
  readonly runsc?: string;
}

/** The load is read now: call it before the work begins. */
export function describeMachine(): Omit<Machine, 'accelerator'> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / MIB),
    kernel: release(),
    load: loadavg().map((value) => Math.round(value * 100) / 100),
  };
}

/** The version in package.json. */
export function sparklerVersion(): string {
  const text = readFileSync(join(REPOSITORY, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Versions of what took part; the daemon says some of them itself. */
export async function describeVersions(info: Readonly<Record<string, unknown>>): Promise<Versions> {
  return {
    sparkler: String(info['version']),
    node: process.versions.node,
    qemu: String(info['vmm']).replace(/^qemu /i, ''),
    guestKernel: await guestKernel(),
  };
}

/** The Debian package that the default kernel was made from, or the id of one made elsewhere. */
async function guestKernel(): Promise<string> {
  const config = loadConfig({ env: process.env });
  const { id, kernelPath } = await resolveKernel(config, config.defaultKernel);
  try {
    const text = readFileSync(join(dirname(kernelPath), 'manifest.json'), 'utf8');
    const { packages } = JSON.parse(text) as { packages: Record<string, string> };
    const [first] = Object.entries(packages).filter(([name]) => name.startsWith('linux-image-'));
    return first ? first.join(' ') : id;
  } catch {
    return id;
  }
}
