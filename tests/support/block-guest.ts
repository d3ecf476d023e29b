/** A guest with blocks: memory-only NUMA nodes for movable pages. Its VMM is plain QEMU. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';

export interface BlockGuest {
  readonly channel: Duplex;
  /** What it has said on its console. */
  readonly console: () => string;
  close(): Promise<void>;
}

interface BlockGuestSpec {
  readonly qemuPath: string;
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly drives: readonly { readonly id: string; readonly path: string }[];
  readonly vcpus: number;
  /** Of node 0. */
  readonly memMiB: number;
  /** Of each of the others; a multiple of 128 MiB, as Linux plugs memory in. */
  readonly blockMiB: number;
  readonly blocks: number;
}

const CHANNEL = 3;

export function startBlockGuest(spec: BlockGuestSpec): BlockGuest {
  const { vcpus, memMiB, blockMiB, blocks } = spec;
  const maxMiB = memMiB + blocks * blockMiB;
  const numbers = Array.from({ length: blocks }, (_, i) => i + 1);
  const vmm = spawn(
    spec.qemuPath,
    [
      ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-M', 'pc'],
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', String(vcpus)],
      ...['-m', `${memMiB}M,slots=${blocks},maxmem=${maxMiB}M`],
      ...['-object', `memory-backend-ram,id=base,size=${memMiB}M`],
      ...['-numa', `node,nodeid=0,cpus=0-${vcpus - 1},memdev=base`],
      ...numbers.flatMap((n) => [
        ...['-numa', `node,nodeid=${n}`],
        ...['-object', `memory-backend-ram,id=m${n},size=${blockMiB}M`],
        ...['-device', `pc-dimm,memdev=m${n},node=${n}`],
        // The firmware's tables name a node without memory at boot for an initiator in it.
        ...['-device', `pci-testdev,id=initiator${n}`],
        ...['-object', `acpi-generic-initiator,id=i${n},pci-dev=initiator${n},node=${n}`],
      ]),
      ...['-serial', 'stdio', '-device', 'virtio-serial-pci,max_ports=2'],
      ...['-chardev', `socket,id=channel,fd=${CHANNEL}`],
      ...['-device', 'virtserialport,chardev=channel,name=sparkler.0'],
      ...spec.drives.flatMap(({ id, path }) => [
        ...['-drive', `if=none,id=${id},format=raw,readonly=on,file=${path},file.locking=off`],
        ...['-device', `virtio-blk-pci,drive=${id}`],
      ]),
      ...['-kernel', spec.kernelPath, '-initrd', spec.initrdPath, '-append', APPEND],
    ],
    { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
  );
  let said = '';
  vmm.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return {
    channel: vmm.stdio[CHANNEL] as Duplex,
    console: () => said,
    close: async () => {
      if (vmm.exitCode !== null || vmm.signalCode !== null) return;
      vmm.kill('SIGKILL');
      await once(vmm, 'exit');
    },
  };
}

const APPEND = [
  ...['console=ttyS0', 'quiet', 'panic=-1', 'reboot=t', 'tsc=reliable', 'no_timer_check'],
  ...['lsm=capability', 'psi=0', 'transparent_hugepage=madvise'],
  ...['memhp_default_state=online_movable', 'numa_balancing=disable'],
].join(' ');
