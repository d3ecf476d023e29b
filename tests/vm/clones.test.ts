/** Clones of one snapshot must not share randomness or time. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Home, type TestDaemon } from '../support/daemon.js';

const PYTHON = `
import os, random, secrets, ssl, tempfile, time, uuid

# Drawn before the snapshot, so that every generator has a state that clones share.
random.random(), uuid.uuid1(), uuid.uuid4(), secrets.token_hex(8), ssl.RAND_bytes(8), next(tempfile._get_candidate_names())

def handler(event, context):
    return {
        "getrandom": os.getrandom(16).hex(),
        "urandom": open("/dev/urandom", "rb").read(16).hex(),
        "random": random.random(),
        "randbytes": random.randbytes(8).hex(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "secrets": secrets.token_hex(16),
        "system_random": secrets.SystemRandom().random(),
        "tempfile": next(tempfile._get_candidate_names()),
        "ssl": ssl.RAND_bytes(16).hex(),
        "boot_id": open("/proc/sys/kernel/random/boot_id").read(),
        "time": time.time(),
    }
`;

const NODE = `
const crypto = require('node:crypto');
const { readFileSync } = require('node:fs');
const draw = () => ({
  randomBytes: crypto.randomBytes(16).toString('hex'),
  randomUUID: crypto.randomUUID(),
  webUUID: globalThis.crypto.randomUUID(),
  webValues: Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
  randomInt: crypto.randomInt(2 ** 47),
  mathRandom: Math.random(),
  key: crypto.generateKeySync('hmac', { length: 128 }).export().toString('hex'),
  boot_id: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'),
});
draw();
exports.handler = async () => ({ ...draw(), time: Date.now() / 1000 });
`;

const CLONES = 4;
/** How far a guest's clock may lie outside the time of the call, seconds: it is set within that. */
const CLOCK_TOLERANCE_S = 0.5;

const home = new Home();
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
});
afterAll(async () => {
  await daemon.stop();
  home.remove();
});

interface Drawn {
  readonly values: Record<string, string | number>;
  readonly asked: number;
  readonly answered: number;
}

async function start(func_name: string, where: object): Promise<Drawn & { vmId: string }> {
  const asked = Date.now() / 1000;
  const { result, vmId } = await daemon.client.invoke({ func_name, ...where });
  const answered = Date.now() / 1000;
  return { values: JSON.parse(result) as Drawn['values'], asked, answered, vmId };
}

async function clone(func_name: string, ssId: string): Promise<Drawn> {
  const drawn = await start(func_name, { ssId });
  await daemon.client.vms.delete(drawn.vmId);
  return drawn;
}

describe.each([
  { name: 'Python', runtime: 'python3', file: 'app.py', handler: 'app.handler', code: PYTHON },
  { name: 'Node.js', runtime: 'nodejs', file: 'index.js', handler: 'index.handler', code: NODE },
] as const)('clones of a snapshot of $name', ({ runtime, file, handler, code }) => {
  let drawn: Drawn[];

  beforeAll(async () => {
    const settings = { func_name: runtime, runtime, handler, vcpu: 1, mem_size: 384 };
    await daemon.deployFiles({ [file]: code }, settings);
    const booted = await start(runtime, { placement: ['cold'] });
    const { vmId } = booted;
    const { ssId } = await daemon.client.snapshots.take({ vmId });
    drawn = [booted];
    for (let i = 0; i < CLONES; i++) drawn.push(await clone(runtime, ssId));
    // And a clone of a clone: its snapshot was taken after a restore.
    const first = await daemon.client.invoke({ func_name: runtime, ssId: ssId });
    const second = await daemon.client.snapshots.take({ vmId: first.vmId });
    for (let i = 0; i < 2; i++) drawn.push(await clone(runtime, second.ssId));
    await daemon.client.vms.delete(first.vmId);
    await daemon.client.vms.delete(vmId);
  });

  it('share no value of any generator', () => {
    for (const name of Object.keys(drawn[0]!.values).filter((key) => key !== 'time')) {
      const values = drawn.map(({ values }) => values[name]);
      expect(new Set(values).size, `${name}: ${values.join(' ')}`).toBe(values.length);
    }
  });

  it("have the host's time, the VM that booted as well", () => {
    for (const { values, asked, answered } of drawn) {
      expect(Number(values['time'])).toBeGreaterThan(asked - CLOCK_TOLERANCE_S);
      expect(Number(values['time'])).toBeLessThan(answered + CLOCK_TOLERANCE_S);
    }
  });
});
