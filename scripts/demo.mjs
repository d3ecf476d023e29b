/**
 * The demonstration: three functions, each started cold, warm and from a snapshot, in real microVMs.
 * Expects what `make setup` makes. Leaves nothing running and no file.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { clearTimeout, setTimeout } from 'node:timers';
import Table from 'cli-table3';
import { SparklerClient } from '../dist/src/client/index.js';

const REPOSITORY = join(import.meta.dirname, '..');
const CLI = join(REPOSITORY, 'bin/sparkler.js');
/** How long the daemon may take to end its VMs, ms. */
const STOP_LIMIT_MS = 20_000;

const FUNCTIONS = [
  { name: 'hello', language: 'Python', memMiB: 256, event: { name: 'Sparkler' } },
  { name: 'json', language: 'Python', memMiB: 256, event: { input_object_key: 'gdp.json' } },
  { name: 'words', language: 'TypeScript', memMiB: 512, event: { text: 'to be or not to be' } },
];

const started = performance.now();
const say = (text) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
  console.log(`${seconds} s  ${text}`);
};

/** Runs a command of the CLI, as a user would; its output is shown only when it fails. */
async function cli(url, ...args) {
  const child = spawn(process.execPath, [CLI, '--url', url, ...args], { cwd: REPOSITORY });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`sparkler ${args.join(' ')} ended with ${code}:\n${output}`);
}

async function startDaemon(dataDir) {
  const args = [CLI, 'daemon', '--json', '--port', '0', '--data', dataDir];
  const env = { ...process.env, SPARKLER_LOG_LEVEL: 'warn' };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const info = await new Promise((resolve, reject) => {
    createInterface(child.stdout).once('line', (line) => resolve(JSON.parse(line)));
    child.once('exit', (code) => reject(new Error(`the daemon ended with exit code ${code}`)));
  });
  return { child, info };
}

async function stopDaemon({ child }) {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  const code = await gone;
  clearTimeout(late);
  return code;
}

/** One function in all three ways; each row is one invocation. */
async function run(client, url, { name, language, memMiB, event }) {
  say(`${name}: deploying (${language}, ${memMiB} MiB)`);
  await cli(url, 'deploy', name, `functions/${name}`, '--mem', String(memMiB), '--vcpu', '1');
  const ask = (where) =>
    client.invoke({ func_name: name, params: JSON.stringify(event), ...where });
  say(`${name}: cold, a VM boots for it`);
  const cold = await ask({ placement: ['cold'] });
  say(`${name}: warm, in the same VM`);
  const warm = await ask({ vmId: cold.vmId });
  say(`${name}: taking a snapshot`);
  const snapshot = await client.snapshots.take({ vmId: cold.vmId });
  await client.vms.delete(cold.vmId);
  say(`${name}: from the snapshot, a clone of that VM`);
  const restored = await ask({ ssId: snapshot.ssId });
  await client.vms.delete(restored.vmId);
  console.log(`          it answers ${restored.result}`);
  return [cold, warm, restored].map((answer) => ({ name, answer }));
}

const ms = (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(1)} ms`);

function print(rows) {
  const head = ['function', 'start', 'ready', 'in the handler', 'total', 'minor faults', 'major'];
  const colAligns = head.map((_, column) => (column < 2 ? 'left' : 'right'));
  const style = { head: [], border: [], compact: true };
  const table = new Table({ head, style, colAligns });
  for (const { name, answer } of rows) {
    const { startKind, phases, handlerMs, duration, faults } = answer;
    const times = [phases.ready, handlerMs, duration].map(ms);
    table.push([name, startKind, ...times, faults.minor, faults.major]);
  }
  console.log(`\n${table.toString()}\n`);
}

const dir = mkdtempSync(join(tmpdir(), 'sparkler-demo-'));
let daemon;
let interrupted = false;
const stop = async () => {
  if (daemon) await stopDaemon(daemon);
  rmSync(dir, { recursive: true, force: true });
};
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
  process.once(signal, () => {
    interrupted = true;
    void stop().then(() => process.exit(code));
  });
}

try {
  say('starting the daemon (the first time, it finds out what accelerates guests here)');
  daemon = await startDaemon(join(dir, 'data'));
  const { url, accelerator, acceleratorReason, vmm } = daemon.info;
  say(`it listens on ${url}, with ${vmm}`);
  const client = new SparklerClient({ baseUrl: url });
  const rows = [];
  for (const definition of FUNCTIONS) rows.push(...(await run(client, url, definition)));
  client.close();
  print(rows);
  console.log(`Accelerator: ${accelerator} (${acceleratorReason}).`);
  if (accelerator === 'tcg') {
    console.log('This is software emulation: slow to boot, and no isolation to rely on.');
  }
  say('stopping the daemon and all that it started');
  const code = await stopDaemon(daemon);
  daemon = undefined;
  if (code !== 0) throw new Error(`the daemon ended with exit code ${code}`);
  say('done; nothing is left running');
} catch (error) {
  if (!interrupted) console.error(`The demonstration failed: ${error.message}`);
  process.exitCode = 1;
} finally {
  if (!interrupted) await stop();
}
