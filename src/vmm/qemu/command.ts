/**
 * QEMU's command line: a pure function of the machine. The same function serves booting and
 * restoring, because a restore needs the very machine that was saved.
 *
 * All files reach QEMU as inherited descriptors (`/proc/self/fd/N`), never as paths: the VMM's user
 * needs no right to any folder of ours, and there is no socket file for anyone else to open.
 */
import type { Accelerator, MachineSpec } from '../driver.js';
import { memoryArgs, memoryDeviceArgs, memoryKernelArgs, namesMemory } from './memory-args.js';

/** The machine type. `pc` booted every time in emulation and carries virtio-mem; see docs/adr. */
export const MACHINE = 'pc-i440fx-10.0';

/** Inherited descriptors, in the order in which the process is given them. 0 to 2 are standard. */
export const FD = {
  qmp: 3,
  channel: 4,
  console: 5,
  control: 6,
  memory: 7,
  /** Where device state is written to. */
  stateOut: 8,
  preload: 9,
  /** Guest memory once more, for reading only. */
  memoryRead: 10,
  /** What a restore's memory source needs, else /dev/null: see native/qemu-preload/memory.h. */
  pages: 11,
  userfault: 12,
  plan: 13,
  workingSet: 14,
  /** /dev/kvm when accelerated, the drives, then kernel and initrd (booting) or the device state to load (restoring). */
  firstFile: 15,
} as const;

/** QEMU opens the device state through sets of descriptors, by these numbers. */
const STATE_OUT_SET = 1;
const STATE_IN_SET = 2;
const KVM_SET = 3;
export const STATE_OUT = `file:/dev/fdset/${STATE_OUT_SET}`;
export const STATE_IN = `file:/dev/fdset/${STATE_IN_SET}`;

/** Initcalls of the stock kernel that a function's guest has no use for and that emulation makes slow. */
const SKIPPED_INITCALLS = [
  'trace_eval_init',
  'init_trace_printk_function_export',
  'jent_mod_init',
  'load_system_certificate_list',
  'bpf_tcp_ca_kfunc_init',
  'bpf_dummy_struct_ops_init',
  'init_encrypted',
];

/** Kernel parameters that every guest gets; what each saves: docs/adr/0003-boot-time.md. */
const KERNEL_ARGS = [
  'console=ttyS0',
  'quiet',
  'loglevel=4',
  'panic=-1',
  'reboot=t',
  'tsc=reliable',
  'no_timer_check',
  '8250.nr_uarts=1',
  'i8042.noaux',
  'i8042.nokbd',
  'cryptomgr.notests',
  'audit=0',
  'lsm=capability',
  'random.trust_cpu=on',
  'psi=0',
  'transparent_hugepage=madvise',
  `initcall_blacklist=${SKIPPED_INITCALLS.join(',')}`,
];

export interface CommandOptions {
  readonly accelerator: Exclude<Accelerator, 'none'>;
  readonly cpuModel: string;
  /** Size of TCG's translation cache, MiB. */
  readonly tbSizeMiB: number;
  /**
   * It is to fork: a template, whose VMMs also change their user, or a VM with clones. What the
   * forked ones must not do, they forbid themselves.
   */
  readonly forks?: 'template' | 'clones';
}

/** A file that QEMU inherits. */
interface InheritedFile {
  readonly path: string;
  /** As fs.open takes them. */
  readonly flags: 'r' | 'r+';
  /** QEMU opens it before its memory: a template's VMMs share what the template opened. */
  readonly isDrive: boolean;
}

export interface QemuCommand {
  readonly args: readonly string[];
  /** Opened and inherited as descriptors `FD.firstFile` and following. */
  readonly files: readonly InheritedFile[];
}

/**
 * The command line that boots `spec`, or with `statePath` restores the device state in that file.
 */
export function qemuCommand(
  spec: MachineSpec,
  statePath: string | undefined,
  options: CommandOptions,
): QemuCommand {
  const files: InheritedFile[] = [];
  const inherit = (path: string, flags: InheritedFile['flags'] = 'r', isDrive = false): number =>
    FD.firstFile + files.push({ path, flags, isDrive }) - 1;
  const args = [
    ...(options.accelerator === 'kvm'
      ? kvmArgs(inherit('/dev/kvm', 'r+'))
      : ['-accel', `tcg,thread=multi,tb-size=${options.tbSizeMiB}`]),
    ...machineArgs(spec, options),
    ...channelArgs(),
    ...spec.drives.flatMap((drive) => driveArgs(drive.id, inherit(drive.path, 'r', true))),
    ...memoryDeviceArgs(spec.memory ?? {}),
    ...(statePath === undefined
      ? bootArgs(inherit(spec.kernelPath), inherit(spec.initrdPath), kernelArgs(spec))
      : restoreArgs(inherit(statePath))),
  ];
  return { args, files };
}

/** The device is opened by the daemon: the VMM's user may not. */
function kvmArgs(device: number): string[] {
  const inherited = ['-add-fd', `fd=${device},set=${KVM_SET}`];
  return [...inherited, '-accel', `kvm,device=/dev/fdset/${KVM_SET}`];
}

function machineArgs(spec: MachineSpec, options: CommandOptions): string[] {
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    ...['-display', 'none'],
    ...['-sandbox', sandbox(options.forks)],
    ...[
      '-machine',
      `${MACHINE}${namesMemory(spec) ? ',memory-backend=memory' : ''},usb=off,i8042=off,vmport=off,smm=off,hpet=off,graphics=off,dump-guest-core=off,mem-merge=off`,
    ],
    ...['-cpu', options.cpuModel],
    ...['-smp', String(spec.vcpus)],
    ...memoryArgs(spec),
    // Nothing is plugged into PCI later; without the slots the guest parses a shorter ACPI table.
    ...['-global', 'PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off'],
    ...['-global', 'PIIX4_PM.acpi-root-pci-hotplug=off'],
    ...['-add-fd', `fd=${FD.stateOut},set=${STATE_OUT_SET}`],
  ];
}

function sandbox(forks: CommandOptions['forks']): string {
  const users = forks === 'template' ? 'allow' : 'deny';
  const processes = forks === undefined ? 'deny' : 'allow';
  return `on,obsolete=deny,elevateprivileges=${users},spawn=${processes},resourcecontrol=deny`;
}

function channelArgs(): string[] {
  return [
    ...['-chardev', `socket,id=qmp,fd=${FD.qmp}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=console,fd=${FD.console}`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci,id=serial,max_ports=2'],
    ...['-chardev', `socket,id=channel,fd=${FD.channel}`],
    ...['-device', 'virtserialport,chardev=channel,name=sparkler.0'],
  ];
}

const pathOf = (fd: number): string => `/proc/self/fd/${fd}`;

function driveArgs(id: string, fd: number): string[] {
  return [
    '-blockdev',
    `driver=raw,node-name=${id},read-only=on,file.driver=file,file.filename=${pathOf(fd)},file.locking=off`,
    '-device',
    `virtio-blk-pci,drive=${id},num-queues=1`,
  ];
}

function bootArgs(kernel: number, initrd: number, append: string): string[] {
  return ['-kernel', pathOf(kernel), '-initrd', pathOf(initrd), '-append', append];
}

const kernelArgs = ({ memory, kernelArgs: extra }: MachineSpec): string =>
  [...KERNEL_ARGS, ...memoryKernelArgs(memory), extra].filter(Boolean).join(' ');

/**
 * The kernel is in the restored memory; its boot ROM must still be there, since it is part of the
 * machine. `-S`: the guest runs when the daemon resumes it.
 */
function restoreArgs(state: number): string[] {
  const stateIn = ['-add-fd', `fd=${state},set=${STATE_IN_SET}`];
  return [...stateIn, '-option-rom', 'pvh.bin', '-S', '-incoming', 'defer'];
}
