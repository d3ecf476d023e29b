/**
 * Which accelerator to use, by proof: a guest that says something. `/dev/kvm` can be present and
 * unusable (a stock guest hangs without a word on a host whose own hypervisor expects a
 * paravirtualized one), so its presence proves nothing. The proof is remembered.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { SparklerError } from '../errors.js';
import type { Accelerator, MachineSpec, VmmDriver } from './driver.js';
import { LimitExpired, within } from './within.js';

/** What the agent prints on the console when the kernel command line has `sparkler.probe`. */
export const PROBE_WORD = 'sparkler-probe-ok';

/** Memory of the probing guest, MiB. */
const PROBE_MEM_MIB = 128;

/** How often the probing guest's console is looked at, ms. */
const LOOK_MS = 20;

export interface AcceleratorChoice {
  readonly accelerator: Exclude<Accelerator, 'none'>;
  /** In words, for people. */
  readonly reason: string;
}

export interface DetectOptions {
  /** `auto` detects; the others override. */
  readonly setting: 'auto' | 'kvm' | 'tcg';
  /** The proof is kept in this file. */
  readonly rememberIn: string;
  /** What the proof depends on besides the host's kernel: VMM version, guest kernel. */
  readonly dependsOn: string;
  /** Runs a guest with KVM; resolves with undefined when it spoke, else with what happened. */
  readonly probeKvm: () => Promise<string | undefined>;
  readonly kvmDevice?: string;
}

interface Remembered extends AcceleratorChoice {
  readonly dependsOn: string;
}

/** Never rejects for a host without KVM; tells in words why it chose. */
export async function chooseAccelerator(options: DetectOptions): Promise<AcceleratorChoice> {
  if (options.setting !== 'auto') {
    return { accelerator: options.setting, reason: 'chosen by the configuration (accel)' };
  }
  const device = options.kvmDevice ?? '/dev/kvm';
  if (!(await isUsable(device))) {
    return { accelerator: 'tcg', reason: `${device} is missing or not writable` };
  }
  const dependsOn = `${release()} ${options.dependsOn}`;
  const known = await recall(options.rememberIn);
  if (known?.dependsOn === dependsOn) {
    return { accelerator: known.accelerator, reason: `${known.reason} (remembered)` };
  }
  const failure = await options.probeKvm();
  const choice: AcceleratorChoice =
    failure === undefined
      ? { accelerator: 'kvm', reason: 'a guest booted with KVM and spoke' }
      : { accelerator: 'tcg', reason: `${device} exists, but ${failure}` };
  await remember(options.rememberIn, { ...choice, dependsOn });
  return choice;
}

/** How a guest is run to prove that `driver` can run one. */
export interface ProbeOptions {
  readonly kernelPath: string;
  readonly initrdPath: string;
  /** A folder for the probe's own folder. */
  readonly dir: string;
  /** How long the guest may take to speak, milliseconds. */
  readonly limitMs: number;
}

/**
 * Boots a guest that only says PROBE_WORD. Undefined when it did, else what happened instead. The
 * driver's `boot` makes the VM's folder here, after it was journaled; it is removed at the end.
 */
export async function probe(driver: VmmDriver, options: ProbeOptions): Promise<string | undefined> {
  const vmId = `probe-${randomBytes(6).toString('hex')}`;
  const dir = join(options.dir, vmId);
  const spec: MachineSpec = {
    vmId,
    vcpus: 1,
    memMiB: PROBE_MEM_MIB,
    kernelPath: options.kernelPath,
    initrdPath: options.initrdPath,
    kernelArgs: 'sparkler.probe',
    drives: [],
    dir,
  };
  try {
    return await listen(driver, spec, options.limitMs);
  } catch (error) {
    if (error instanceof SparklerError) return error.message.split('\n', 1)[0] ?? '';
    throw error;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function listen(
  driver: VmmDriver,
  spec: MachineSpec,
  limitMs: number,
): Promise<string | undefined> {
  const vm = await driver.boot(spec);
  let looking: NodeJS.Timeout | undefined;
  const spoke = new Promise<void>((resolve) => {
    looking = setInterval(() => vm.consoleTail().includes(PROBE_WORD) && resolve(), LOOK_MS);
  });
  try {
    await within(Promise.race([spoke, vm.exited]), limitMs);
    if (vm.consoleTail().includes(PROBE_WORD)) return undefined;
    return `the guest ended without a word (${(await vm.exited).reason}) ${vm.vmmLog()}`.trim();
  } catch (error) {
    if (!(error instanceof LimitExpired)) throw error;
    return `the guest said nothing for ${limitMs} ms`;
  } finally {
    clearInterval(looking);
    await vm.close();
  }
}

async function isUsable(device: string): Promise<boolean> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A file that is missing or not ours to read as JSON only means that the proof runs again. */
async function recall(path: string): Promise<Remembered | undefined> {
  try {
    const known = JSON.parse(await readFile(path, 'utf8')) as Partial<Remembered>;
    const complete = known.accelerator === 'kvm' || known.accelerator === 'tcg';
    return complete && known.reason && known.dependsOn ? (known as Remembered) : undefined;
  } catch {
    return undefined;
  }
}

async function remember(path: string, known: Remembered): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, JSON.stringify(known, null, 2));
  await rename(`${path}.new`, path);
}
