/** The driver suite over real QEMU, in whatever acceleration this host proves. */
import { describeDriver } from '../../src/vmm/conformance.js';
import { qemuUnderTest } from '../support/qemu.js';

const COUNTER = `
count = 0

def handler(event, context):
    global count
    count += event.get("add", 0)
    return {"count": count}
`;

describeDriver('qemu', async () => {
  const under = await qemuUnderTest('sparkler-conformance', { 'app.py': COUNTER });
  const { driver, config, kernelPath, initrdPath, drives, dir } = under;
  return {
    ...{ driver, kernelPath, initrdPath, drives },
    runtime: 'python3',
    memMiB: 256,
    limits: config.timeouts,
    bootMs: config.timeouts.bootMs,
    kill: (machine) => process.kill(machine.pid ?? 0, 'SIGKILL'),
    leftovers: () => Promise.resolve(under.leftovers()),
    broken: (spec) => ({ ...spec, kernelPath: `${dir}/code.erofs` }),
    dispose: () => under.dispose(),
  };
});
