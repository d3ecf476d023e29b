import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseAccelerator, type DetectOptions } from './detect.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-detect-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function options(change: Partial<DetectOptions> = {}): DetectOptions & { probes: number } {
  const kvmDevice = join(dir, 'kvm');
  writeFileSync(kvmDevice, '');
  const counted = {
    setting: 'auto' as const,
    rememberIn: join(dir, 'accelerator.json'),
    dependsOn: 'qemu 10.0.2, kernel abc',
    kvmDevice,
    probes: 0,
    probeKvm: () => {
      counted.probes++;
      return Promise.resolve(undefined as string | undefined);
    },
    ...change,
  };
  return counted;
}

describe('choosing the accelerator', () => {
  it('takes KVM only after a guest spoke', async () => {
    expect(await chooseAccelerator(options())).toEqual({
      accelerator: 'kvm',
      reason: 'a guest booted with KVM and spoke',
    });
  });

  it('is not fooled by a /dev/kvm on which the guest hangs', async () => {
    const silent = options({ probeKvm: () => Promise.resolve('the guest said nothing') });
    const choice = await chooseAccelerator(silent);
    expect(choice.accelerator).toBe('tcg');
    expect(choice.reason).toContain('exists, but the guest said nothing');
  });

  it('remembers the proof', async () => {
    const asked = options();
    await chooseAccelerator(asked);
    expect((await chooseAccelerator(asked)).reason).toContain('remembered');
    expect(asked.probes).toBe(1);
  });

  it.each(['another VMM or kernel', 'a damaged memory'])('proves again after %s', async (what) => {
    const asked = options();
    await chooseAccelerator(asked);
    if (what === 'a damaged memory') writeFileSync(asked.rememberIn, '{"accelerator":"kv');
    else Object.assign(asked, { dependsOn: 'qemu 11' });
    await chooseAccelerator(asked);
    expect(asked.probes).toBe(2);
  });

  it('needs no proof that there is no KVM', async () => {
    const asked = options({ kvmDevice: join(dir, 'missing') });
    const choice = await chooseAccelerator(asked);
    expect(choice).toMatchObject({ accelerator: 'tcg' });
    expect(asked.probes).toBe(0);
  });

  it.each(['kvm', 'tcg'] as const)('lets the configuration say %s', async (setting) => {
    const asked = options({ setting });
    expect((await chooseAccelerator(asked)).accelerator).toBe(setting);
    expect(asked.probes).toBe(0);
  });
});
