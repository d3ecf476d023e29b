import { describe, expect, it } from 'vitest';
import type { MachineSpec } from '../driver.js';
import type { MemoryLayout } from '../memory.js';
import { qemuCommand } from './command.js';

const OPTIONS = { accelerator: 'tcg', cpuModel: 'max', tbSizeMiB: 32 } as const;

function argsOf(memory?: MemoryLayout, kernelArgs = ''): readonly string[] {
  const spec: MachineSpec = {
    ...{ vmId: 'vm', vcpus: 2, memMiB: 512, kernelPath: '/k', initrdPath: '/i', kernelArgs },
    ...{ drives: [{ id: 'root', path: '/r' } as const], dir: '/d', ...(memory && { memory }) },
  };
  return qemuCommand(spec, undefined, OPTIONS).args;
}

/** What is among the arguments as an option with this value. */
const valuesOf = (args: readonly string[], option: string): string[] =>
  args.flatMap((arg, k) => (arg === option ? [args[k + 1] ?? ''] : []));

/** A snapshot is restored by the very command that made its VM: any change here loses them. */
const STATIC =
  '-accel tcg,thread=multi,tb-size=32 -nodefaults -no-user-config -no-reboot -display none -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -machine pc-i440fx-10.0,memory-backend=memory,usb=off,i8042=off,vmport=off,smm=off,hpet=off,graphics=off,dump-guest-core=off,mem-merge=off -cpu max -smp 2 -m 512M -object memory-backend-file,id=memory,size=512M,share=on,mem-path=/sparkler/memory -global PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off -global PIIX4_PM.acpi-root-pci-hotplug=off -add-fd fd=8,set=1 -chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control -chardev socket,id=console,fd=5 -serial chardev:console -device virtio-serial-pci,id=serial,max_ports=2 -chardev socket,id=channel,fd=4 -device virtserialport,chardev=channel,name=sparkler.0 -blockdev driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=/proc/self/fd/15,file.locking=off -device virtio-blk-pci,drive=root,num-queues=1 -kernel /proc/self/fd/16 -initrd /proc/self/fd/17 -append console=ttyS0 quiet loglevel=4 panic=-1 reboot=t tsc=reliable no_timer_check 8250.nr_uarts=1 i8042.noaux i8042.nokbd cryptomgr.notests audit=0 lsm=capability random.trust_cpu=on psi=0 transparent_hugepage=madvise initcall_blacklist=trace_eval_init,init_trace_printk_function_export,jent_mod_init,load_system_certificate_list,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init,init_encrypted';

describe("QEMU's command line", () => {
  it('is for a machine of fixed memory what it always was', () => {
    expect(argsOf().join(' ')).toBe(STATIC);
    expect(argsOf(undefined, 'a=b').join(' ')).toBe(`${STATIC} a=b`);
  });

  it('has one device more for a balloon, and no more', () => {
    const balloon =
      '-device virtio-balloon-pci,id=balloon,deflate-on-oom=on,page-poison=off,free-page-reporting=on';
    const wanted = STATIC.replace(' -kernel ', ` ${balloon} -kernel `);
    expect(argsOf({ balloon: { freePageReporting: true } }).join(' ')).toBe(wanted);
  });

  it('gives memory to plug in whole sections of addresses', () => {
    const args = argsOf({ hotplug: { maxMiB: 200 } });
    expect(valuesOf(args, '-m')).toEqual(['512M,maxmem=768M']);
    expect(valuesOf(args, '-object')).toContain(
      'memory-backend-file,id=block-memory0,size=256M,share=on,mem-path=/sparkler/block/0',
    );
    expect(valuesOf(args, '-machine')[0]).toContain('memory-backend=memory');
    expect(valuesOf(args, '-append')[0]).toMatch(
      / memhp_default_state=online_movable swiotlb=noforce$/,
    );
  });

  it('plugs in in larger steps, and populated, where that is asked for', () => {
    const device = (more: object) =>
      valuesOf(argsOf({ hotplug: { maxMiB: 256, ...more } }), '-device').find((value) =>
        value.startsWith('virtio-mem'),
      );
    const plain = 'virtio-mem-pci,id=hotplug,memdev=block-memory0';
    expect(device({})).toBe(plain);
    expect(device({ stepMiB: 128 })).toBe(`${plain},block-size=128M`);
    expect(device({ populated: true })).toBe(`${plain},prealloc=on`);
  });

  it('gives each block a node, a device and an initiator of its own', () => {
    const args = argsOf({ blocks: [...Array(9).keys()].map((k) => ({ memMiB: 64 * (k + 1) })) });
    expect(valuesOf(args, '-machine')[0]).not.toContain('memory-backend');
    expect(valuesOf(args, '-numa')).toEqual([
      'node,nodeid=0,memdev=memory,cpus=0-1',
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((node) => `node,nodeid=${node}`),
    ]);
    const devices = valuesOf(args, '-device').filter((value) => value.startsWith('virtio-mem'));
    expect(devices[0]).toBe(
      'virtio-mem-pci,id=block1,memdev=block-memory1,node=1,requested-size=64M,vectors=0,addr=8.0,multifunction=on',
    );
    expect(devices[7]).toContain('node=8,requested-size=512M,vectors=0,addr=8.7');
    expect(devices[8]).toContain('node=9,requested-size=576M,vectors=0,addr=9.0,multifunction=on');
    expect(valuesOf(args, '-object')).toContain(
      'acpi-generic-initiator,id=initiator9,pci-dev=block9,node=9',
    );
    // 64 MiB of a section of 128, and so on.
    expect(valuesOf(args, '-m')).toEqual(['512M,maxmem=3712M']);
    expect(valuesOf(args, '-append')[0]).toMatch(/ numa_balancing=disable$/);
  });

  it('opens the memory file before all other memory: a template stops there', () => {
    const layout = { hotplug: { maxMiB: 2 }, blocks: [{ memMiB: 2 }] };
    const backends = valuesOf(argsOf(layout), '-object').filter((value) =>
      value.startsWith('memory-backend'),
    );
    expect(backends.map((value) => /mem-path=(.*)$/.exec(value)?.[1])).toEqual([
      '/sparkler/memory',
      '/sparkler/block/0',
      '/sparkler/block/1',
    ]);
  });
});
