import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownBytes, parseMeminfo, readHostMemory } from './host-memory.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const MEMINFO = 'MemTotal:  8192 kB\nMemFree: 10 kB\nMemAvailable:  4096 kB\nCached: 1 kB\n';

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'host-memory-'))));
afterEach(() => rmSync(root, { recursive: true }));

/** Files of a host, by path. */
function host(files: Readonly<Record<string, string>>): void {
  const all = { 'proc/mounts': '', 'proc/self/cgroup': '', 'proc/meminfo': MEMINFO, ...files };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

const V2 = 'cgroup2 /cg cgroup2 rw,nosuid 0 0\n';
const V1 =
  'cgroup /cg1/cpu cgroup rw,cpu 0 0\ncgroup /cg1/memory cgroup rw,nosuid,memory 0 0\n' + V2;

describe("the host's memory", () => {
  it.each<[string, Record<string, string>, number, number]>([
    ['what the kernel says', {}, 4096 * KIB, 8192 * KIB],
    [
      'what the own cgroup leaves, with what the kernel gives up of it',
      {
        'proc/mounts': V2,
        'proc/self/cgroup': '0::/a/b\n',
        'cg/a/b/memory.max': `${3 * MIB}\n`,
        'cg/a/b/memory.current': `${2 * MIB}\n`,
        'cg/a/b/memory.stat': `anon 5\ninactive_file ${MIB / 4}\nactive_file ${MIB / 4}\n`,
      },
      1.5 * MIB,
      3 * MIB,
    ],
    [
      "what a cgroup above leaves, where the own one's limit is `max`",
      {
        'proc/mounts': V2,
        'proc/self/cgroup': '0::/a/b\n',
        'cg/a/b/memory.max': 'max\n',
        'cg/a/memory.max': `${2 * MIB}\n`,
        'cg/a/memory.current': `${MIB}\n`,
        'cg/a/memory.stat': 'anon 1\n',
      },
      MIB,
      2 * MIB,
    ],
    [
      'nothing, when the cgroup uses more than it may',
      {
        'proc/mounts': V2,
        'proc/self/cgroup': '0::/\n',
        'cg/memory.max': `${MIB}\n`,
        'cg/memory.current': `${2 * MIB}\n`,
      },
      0,
      MIB,
    ],
    [
      'what a cgroup of version 1 leaves',
      {
        'proc/mounts': V1,
        'proc/self/cgroup': '5:cpu:/x\n3:memory,other:/svc\n0::/svc\n',
        'cg1/memory/svc/memory.limit_in_bytes': `${4 * MIB}\n`,
        'cg1/memory/svc/memory.usage_in_bytes': `${3 * MIB}\n`,
        'cg1/memory/svc/memory.stat': `total_inactive_file ${MIB}\ninactive_file 9\n`,
      },
      2 * MIB,
      4 * MIB,
    ],
    [
      'what the kernel says, where version 1 has no limit',
      {
        'proc/mounts': V1,
        'proc/self/cgroup': '3:memory:/svc\n',
        'cg1/memory/svc/memory.limit_in_bytes': '9223372036854771712\n',
        'cg1/memory/svc/memory.usage_in_bytes': '1\n',
      },
      4096 * KIB,
      8192 * KIB,
    ],
    [
      'what the kernel says, where the cgroup is not to be seen',
      { 'proc/mounts': V2, 'proc/self/cgroup': '0::/../elsewhere\n' },
      4096 * KIB,
      8192 * KIB,
    ],
  ])('is %s', async (_, files, availableBytes, totalBytes) => {
    host(files);
    expect(await readHostMemory(root)).toEqual({ availableBytes, totalBytes });
  });

  it('of this host is some', async () => {
    const { availableBytes, totalBytes } = await readHostMemory();
    expect(availableBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(availableBytes);
  });

  it('that cannot be read is none', () => {
    expect(parseMeminfo('')).toEqual({ availableBytes: 0, totalBytes: 0 });
  });
});

describe('the own memory of a process', () => {
  it('grows with what it uses, and is none when it is gone', async () => {
    const before = await ownBytes(process.pid);
    const held = Buffer.alloc(64 * MIB, 1);
    const after = await ownBytes(process.pid);
    expect(held[5]).toBe(1);
    expect(after - before).toBeGreaterThan(32 * MIB);
    expect(await ownBytes(2 ** 22 + 1)).toBe(0);
  });
});
