import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiServer, startApi } from '../../tests/support/api-server.js';
import { type CliOptions, cli } from '../../tests/support/cli.js';
import { type ErrorCode, SparklerError } from '../errors.js';

let server: ApiServer;
let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-cli-'))));
afterAll(() => rmSync(dir, { recursive: true }));
beforeEach(async () => (server = await startApi()));
afterEach(async () => server.close());

const run = (args: string, options: CliOptions = {}) =>
  cli(args.split(' '), { env: { SPARKLER_URL: server.url }, ...options });

async function ok(args: string, options: CliOptions = {}): Promise<string> {
  const result = await run(args, options);
  expect(result.stderr).not.toContain('sparkler:');
  expect(result.code).toBe(0);
  return result.stdout;
}

const make = (name: string) => server.platform.putFunction({ name, memMiB: 512 });

describe('functions', () => {
  it('lists them as a table', async () => {
    make('hello');
    make('json');
    const lines = (await ok('functions')).trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^NAME +RUNTIME +HANDLER +VCPU +MEMORY +TIMEOUT +CODE +CHANGED$/);
    expect(lines[1]).toMatch(/^hello +python3 +app.handler +2 +512 MiB +30.0 s +none +\d+ d ago$/);
    expect(await ok('functions list')).toContain('json');
  });

  it('says what to do when there are none', async () => {
    expect(await ok('functions')).toContain('sparkler deploy');
  });

  it('shows one', async () => {
    make('hello');
    expect(await ok('functions show hello')).toMatch(/^memory +512 MiB$/m);
  });

  it('prints one JSON document with --json, before or after the command', async () => {
    make('hello');
    for (const args of ['functions --json', '--json functions list']) {
      expect((await run(args)).json).toMatchObject([{ func_name: 'hello', mem_size: 512 }]);
    }
  });
});

describe('invoke', () => {
  beforeEach(() => void make('hello'));
  const lastInput = () => server.platform.calls.at(-1)?.[1];

  it('prints the result alone on stdout, the rest on stderr', async () => {
    server.platform.onInvoke = () => ({ result: '{"a":[1]}', logs: 'hi\n' });
    const { code, stdout, stderr } = await run('invoke hello --vm vm1');
    expect([code, stdout]).toEqual([0, '{"a":[1]}\n']);
    expect(stderr).toContain('hi\n');
    expect(stderr).toContain('warm start in vm1: 12.5 ms, of it 1.25 ms in the handler');
    expect(stderr).toContain('ready 3.00 ms, answered 12.0 ms');
    expect(stderr).toContain('10 minor, 1 major');
  });

  it('indents the result for people only', async () => {
    server.platform.onInvoke = () => ({ result: '{"a":[1]}' });
    expect(await ok('invoke hello', { tty: true })).toBe('{\n  "a": [\n    1\n  ]\n}\n');
  });

  it('says nothing else with --quiet, and one document with --json', async () => {
    expect(await run('invoke hello -q')).toMatchObject({ stdout: '{}\n', stderr: '' });
    const result = await run('invoke hello --json');
    expect(result.json).toMatchObject({ startKind: 'cold', duration: 12.5, logs: 'printed\n' });
    expect(result.stderr).toBe('');
  });

  it('asks for a strategy and says what came of it', async () => {
    server.platform.onInvoke = () => ({
      restore: {
        ...{ strategy: 'populate', why: 'because', recorded: false, served: 0, prefetched: 0 },
        ...{ populated: 1200, populateMs: 5, readBytes: 1024 * 1024 },
      },
    });
    const { stderr } = await run('invoke hello --snapshot ss1 --strategy populate');
    expect(lastInput()).toMatchObject({ ssId: 'ss1', restore: { strategy: 'populate' } });
    expect(stderr).toContain(
      'restored by populate: 1200 pages populated in 5.00 ms, 1.00 MiB read; because\n',
    );
    const { json } = await run('invoke hello --snapshot ss1 --json');
    expect(json).toMatchObject({ restore: { strategy: 'populate', populated_pages: 1200 } });
  });

  it('takes the places to try, and says why it went where it went', async () => {
    server.platform.onInvoke = () => ({
      placement: {
        why: 'an instance was idle',
        passed: [{ place: 'snapshot', why: 'there is none' }],
      },
    });
    const { stderr } = await run('invoke hello --placement snapshot,warm');
    expect(lastInput()).toMatchObject({ placement: ['snapshot', 'warm'] });
    expect(stderr).toContain('placed: an instance was idle; not snapshot: there is none\n');
  });

  it('takes the event from an option, a file or stdin', async () => {
    const file = join(dir, 'event.json');
    writeFileSync(file, '{"from":"file"}');
    await ok('invoke hello --event {"a":1} --snapshot ss1 --timeout 1.5s');
    expect(lastInput()).toMatchObject({ params: '{"a":1}', ssId: 'ss1', timeoutMs: 1500 });
    await ok(`invoke hello --event-file ${file}`);
    expect(lastInput()).toMatchObject({ params: '{"from":"file"}' });
    await ok('invoke hello -', { stdin: '"stdin"' });
    expect(lastInput()).toMatchObject({ params: '"stdin"' });
    await ok('invoke hello --event-file -', { stdin: '7' });
    expect(lastInput()).toMatchObject({ params: '7' });
  });

  it.each([
    ['invoke hello --event 1 -', 'give only one of --event'],
    ['invoke hello {}', 'give JSON with --event'],
    ['invoke hello --vm a --snapshot b', 'give only one of --vm'],
    ['invoke hello --strategy reap', 'how to restore needs a snapshot'],
    ['invoke hello --snapshot a --strategy fast', 'Allowed choices are vanilla'],
    ['invoke hello --placement hot', 'hot is not understood; name some of warm,vertical'],
    ['invoke hello --placement cold,cold', 'each once'],
    ['invoke hello --vm a --placement cold', 'leave --placement out'],
    ['invoke hello --timeout 5', '5 is not a time like'],
    ['invoke hello --event-file /does/not/exist', 'cannot be read'],
    ['invoke hello --event {x}', 'params: must be a string of JSON'],
    ['invoke', "missing required argument 'name'"],
    ['invoke hello --vmm x', "unknown option '--vmm'"],
    ['invoke nobody', 'There is no function nobody'],
  ])('%s is refused', async (args, reason) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toContain(reason);
    expect([code, stdout]).toEqual([2, '']);
  });

  it.each([
    ['HANDLER_FAILED', 3],
    ['HANDLER_TIMEOUT', 3],
    ['RESULT_NOT_JSON', 3],
    ['GUEST_PANICKED', 4],
    ['VM_DIED', 4],
    ['STORAGE_FULL', 1],
    ['TOO_MANY_VMS', 1],
    ['SHUTTING_DOWN', 1],
    ['INTERNAL', 1],
    ['VM_WRONG_STATE', 2],
  ] satisfies [ErrorCode, number][])('%s ends with %i', async (code, exit) => {
    server.platform.failure = new SparklerError(code, 'it broke');
    const result = await run('invoke hello');
    expect(result.stderr).toContain(`sparkler: it broke\n(${code}`);
    expect(result.code).toBe(exit);
  });

  it('shows the stack, the output and the console of what failed', async () => {
    server.platform.failure = new SparklerError('HANDLER_FAILED', 'ValueError: no', {
      stack: 'File "/var/task/app.py", line 3',
      logs: 'before\n',
      console: 'panic',
    });
    const { stderr } = await run('invoke hello');
    expect(stderr).toContain('The function\'s stack:\n  File "/var/task/app.py", line 3\n');
    expect(stderr).toContain('The function printed:\n  before\n');
    expect(stderr).toContain('console ended with:\n  panic\n');
    expect(stderr).not.toContain('client.ts');
    const { json } = await run('invoke hello --json');
    expect(json).toMatchObject({ error: { code: 'HANDLER_FAILED', fault: 'function' } });
  });

  it('shows where a failure of ours happened', async () => {
    server.platform.failure = new TypeError('oops');
    expect((await run('invoke hello')).stderr).toMatch(/bug in Sparkler[^]*\n +at /);
  });

  it('ends at once when it is interrupted', async () => {
    server.platform.invoke = () => new Promise(() => undefined);
    const interrupt = new AbortController();
    setTimeout(() => interrupt.abort(), 100);
    const { code, stdout } = await run('invoke hello', { interrupted: interrupt.signal });
    expect([code, stdout]).toEqual([130, '']);
    server.api.server.closeAllConnections();
  });
});

describe('microVMs', () => {
  beforeEach(() => void make('hello'));

  it('are started, listed and looked into', async () => {
    expect(await ok('ps')).toBe('No microVMs run.\n');
    expect(await ok('vm start hello --snapshot ss1 --mem 1GiB --vcpu 3')).toBe('vm1\n');
    expect(server.platform.calls.at(-1)?.[1]).toEqual({
      functionName: 'hello',
      ssId: 'ss1',
      memMiB: 1024,
      vcpus: 3,
    });
    const [head, row] = (await ok('ps')).split('\n');
    expect(head).toMatch(
      /^VM +FUNCTION +STATE +START +VCPU +MEMORY +RESIDENT +SERVED +PID +STARTED$/,
    );
    expect(row).toMatch(/^vm1 +hello +starting +snapshot ss1 +3 +1024 MiB +50.0 MiB +0 +4242 +/);
    expect((await run('ps --json')).json).toMatchObject([{ vmId: 'vm1' }]);
    server.platform.vms.set('vm1', { ...server.platform.vms.get('vm1')!, pooled: true });
    expect(await ok('ps')).toMatch(/^vm1 +hello +starting +pooled ss1 +3 /m);
    expect(await ok('console vm1')).toContain('Linux version');
    expect(await ok('logs hello')).toBe('hello says é\n');
    expect((await run('logs hello --json')).json).toEqual({ logs: 'hello says é\n' });
  });

  it('are given memory, and show it', async () => {
    await ok('vm start hello --memory-policy blocks --mem 1GiB --block 512 --block 256MiB');
    expect(server.platform.calls.at(-1)?.[1]).toEqual({
      functionName: 'hello',
      memMiB: 1024,
      memoryPolicy: 'blocks',
      blocksMiB: [512, 256],
    });
    expect(await ok('ps')).toMatch(/^vm1 .* 1024 of 1024 MiB, blocks +/m);
    expect(await ok('vm resize vm1 768')).toBe('vm1 has 768 of 1024 MiB, blocks\n');
    const text = await ok('vm show vm1');
    expect(text).toMatch(/^memory +768 of 1024 MiB, blocks$/m);
    expect(text).toMatch(/^used +1 B$/m);
    expect(text).toMatch(/^BLOCK +SIZE +STATE +USED +RESIDENT\n1 +512 MiB +free +3 B +2 B$/m);
    expect((await run('vm show vm1 --json')).json).toMatchObject({ memory: { policy: 'blocks' } });
  });

  it.each([
    ['vm start hello --mem lots', 'lots is not a size like'],
    ['vm start hello --vcpu 0', 'vcpu: must be at least 1'],
    ['vm start hello --memory-policy elastic', 'Allowed choices are static, balloon'],
    ['vm start hello --block much', 'much is not a size like'],
    ['vm resize vm1 much', 'much is not a size like'],
    ['vm resize nobody 1GiB', 'There is no vm nobody'],
    ['console nobody', 'There is no vm nobody'],
    ['vm', 'Usage: sparkler vm'],
  ])('%s is refused', async (args, reason) => {
    const { code, stderr } = await run(args);
    expect(stderr).toContain(reason);
    expect(code).toBe(2);
  });
});

describe('snapshots', () => {
  beforeEach(async () => {
    make('hello');
    await server.platform.createVm({ functionName: 'hello' });
  });

  it('are taken, listed, shown, changed and removed', async () => {
    const taken = await run('snapshot take vm1 --id mine --state-file s --memory-file /m');
    expect([taken.code, taken.stdout]).toEqual([0, 'mine\n']);
    expect(taken.stderr).toContain('12.5 ms (the guest stood still for 8.25 ms)');
    expect(server.platform.calls.at(-1)?.[1]).toEqual({
      vmId: 'vm1',
      ssId: 'mine',
      statePath: join(process.cwd(), 's'),
      memoryPath: '/m',
      regions: {},
    });
    expect(await ok('snapshot list')).toMatch(/^mine +hello +512 MiB +100 MiB +vm1/m);
    expect(await ok('snapshot show mine')).toMatch(/^memory file +\/m$/m);
    await ok('snapshot cache load mine');
    expect(server.platform.calls.at(-1)?.[1]).toEqual(['mine', { loadCache: true }]);
    await ok('snapshot cache drop mine');
    expect(server.platform.calls.at(-1)?.[1]).toEqual(['mine', { dropCache: true }]);
    await ok('snapshot dig mine');
    expect(server.platform.calls.at(-1)?.[1]).toEqual(['mine', { digHole: true }]);
    expect(await ok('snapshot rm mine')).toBe('removed snapshot mine\n');
    expect(await ok('snapshot list')).toContain('No snapshots yet');
  });
});

describe('working sets of snapshots', () => {
  beforeEach(async () => {
    make('hello');
    await server.platform.createVm({ functionName: 'hello' });
    await server.platform.takeSnapshot({ vmId: 'vm1', ssId: 'mine' });
  });
  const lastCall = () => server.platform.calls.at(-1);

  it('are shown: recordings, files, how alike, how many in common', async () => {
    const text = await ok('snapshot working-set mine --at-least 2');
    expect(text).toMatch(/^memory +32768 \(128 MiB\) pages$/m);
    expect(text).toMatch(/^in common +80 \(320 KiB\) pages in 2 of 2 or more$/m);
    expect(text).toMatch(/^trace-1 +page faults +100 \(400 KiB\) +- +e0 +2 +\d+ d ago$/m);
    expect(text).toMatch(/^layers +page cache +100 \(400 KiB\) +3 +e0/m);
    expect(text).toMatch(/^reap +7 +100 \(400 KiB\) +410 KiB +yes$/m);
    expect(text).toMatch(/^trace-1 +layers +0.800$/m);
    const { json } = await run('snapshot working-set mine --json');
    expect(json).toMatchObject({ nonzero_pages: 9000 });
    expect(json).not.toHaveProperty('common');
  });

  it('are drawn to stdout or a file', async () => {
    const svg = '<svg aria-label="latest"/>';
    expect(await ok('snapshot picture mine')).toBe(svg);
    expect((await run('snapshot picture mine --json')).json).toEqual({ svg });
    const file = join(dir, 'mine.svg');
    expect(await ok(`snapshot picture mine --strategy reap --output ${file}`)).toBe(`${file}\n`);
    expect(readFileSync(file, 'utf8')).toBe('<svg aria-label="reap"/>');
    const { code, stderr } = await run(`snapshot picture mine --output ${dir}/none/x.svg`);
    expect([code, stderr]).toEqual([2, expect.stringContaining('cannot be written')]);
  });

  it('are forgotten and copied', async () => {
    expect(await ok('snapshot forget mine')).toBe('forgot what was recorded of mine\n');
    expect(lastCall()).toEqual(['forget', ['mine']]);
    expect(await ok('snapshot copy mine --id other --memory-file m')).toBe('other\n');
    expect(lastCall()).toEqual([
      'copySnapshot',
      { from: 'mine', ssId: 'other', memoryPath: join(process.cwd(), 'm') },
    ]);
    expect((await run('snapshot copy mine --json')).json).toMatchObject({ func_name: 'hello' });
  });

  it('are verified; a damaged snapshot ends with 2', async () => {
    expect(await ok('snapshot verify mine')).toBe('mine is whole: 2 files, 4.01 KiB in 3.50 ms\n');
    expect((await run('snapshot verify mine --json')).json).toMatchObject({ memory_id: 'ab12' });
    server.platform.failure = new SparklerError('SNAPSHOT_UNUSABLE', 'damaged at byte 0');
    const { code, stderr } = await run('snapshot verify mine');
    expect([code, stderr]).toEqual([2, expect.stringContaining('damaged at byte 0')]);
  });
});

describe('rm', () => {
  beforeEach(async () => {
    make('hello');
    await server.platform.createVm({ functionName: 'hello' });
    await server.platform.takeSnapshot({ vmId: 'vm1', ssId: 'mine' });
  });

  it('finds what each id is', async () => {
    expect(await ok('rm mine vm1 hello')).toBe(
      'removed snapshot mine\nremoved vm vm1\nremoved function hello\n',
    );
    expect([server.platform.functions.size, server.platform.vms.size]).toEqual([0, 0]);
  });

  it('takes a kind', async () => {
    expect((await run('rm vm vm1 --json')).json).toEqual({ removed: [{ kind: 'vm', id: 'vm1' }] });
  });

  it('removes nothing when one id is unknown or names two things', async () => {
    await server.platform.takeSnapshot({ vmId: 'vm1', ssId: 'hello' });
    for (const [args, reason] of [
      ['rm vm1 nobody', 'nobody is neither a function nor'],
      [
        'rm vm1 hello',
        'hello is a function and a snapshot: say which, as in `sparkler rm function hello`',
      ],
    ] as const) {
      const { code, stderr } = await run(args);
      expect(stderr).toContain(reason);
      expect(code).toBe(2);
    }
    expect(server.platform.vms.has('vm1')).toBe(true);
    await ok('rm snapshot hello');
    expect(server.platform.functions.has('hello')).toBe(true);
  });
});

describe('any command', () => {
  it('says where no daemon answers, and ends with 5', async () => {
    const { code, stderr } = await run('info --url http://127.0.0.1:9', {});
    expect(stderr).toContain('http://127.0.0.1:9 cannot be reached: nothing listens there');
    expect(code).toBe(5);
  });

  it('refuses an address that is none', async () => {
    expect(await run('info --url nowhere')).toMatchObject({ code: 2 });
  });

  it('shows the daemon', async () => {
    const text = await ok('info');
    expect(text).toMatch(/^accelerator +tcg \(\/dev\/kvm does not exist\)$/m);
    expect(text).toMatch(/^pool +1 of 2 VMs, 512 of 4096 MiB$/m);
    expect(text).toMatch(/^ended at start +2 vms$/m);
  });

  it.each([
    'daemon',
    'images build',
    'images list',
    'images prune',
    'deploy',
    'functions',
    'functions show',
    'invoke',
    'ps',
    'vm start',
    'vm show',
    'vm resize',
    'logs',
    'console',
    'snapshot',
    'snapshot take',
    'snapshot cache load',
    'snapshot copy',
    'snapshot verify',
    'snapshot working-set',
    'snapshot picture',
    'snapshot forget',
    'rm',
    'info',
    'completion',
  ])('%s explains itself', async (command) => {
    const text = await ok(`${command} --help`);
    expect(text).toContain(`Usage: sparkler ${command}`);
    expect(text).toContain('--json');
  });

  it('has help with first steps and exit codes', async () => {
    const text = await ok('--help');
    expect(text).toContain('sparkler images build');
    expect(text).toContain('no daemon answers');
    expect((await run('nonsense')).code).toBe(2);
    expect(await ok('--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('completion', () => {
  beforeEach(async () => {
    make('hello');
    make('help-me');
    await server.platform.createVm({ functionName: 'hello' });
    await server.platform.takeSnapshot({ vmId: 'vm1', ssId: 'mine' });
  });
  /** Words as the shell gives them: the last is what the cursor stands at. */
  const offered = async (...words: string[]) => {
    const { stdout } = await cli(['__complete', '--', ...words], {
      env: { SPARKLER_URL: server.url },
    });
    return stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split('\t')[0]);
  };

  it('offers commands, options, choices and names', async () => {
    expect(await offered('sna')).toEqual(['snapshot']);
    expect(await offered('')).toContain('deploy');
    expect(await offered('')).not.toContain('__complete');
    expect(await offered('snapshot', 'cache', '')).toEqual(['load', 'drop', 'help']);
    expect(await offered('invoke', 'hello', '--ev')).toEqual(['--event', '--event-file']);
    expect(await offered('ps', '--j')).toEqual(['--json']);
    expect(await offered('deploy', 'x', '.', '--runtime', '')).toEqual(['python3', 'nodejs']);
    const strategies = ['vanilla', 'cached', 'reap', 'faasnap', 'populate', 'auto'];
    expect(await offered('invoke', 'hello', '--strategy', '')).toEqual(strategies);
    expect(await offered('deploy', 'hello', '.', '--strategy', '')).toEqual(strategies);
    expect(await offered('snapshot', 'v')).toEqual(['verify']);
    expect(await offered('snapshot', 'picture', '')).toEqual(['mine']);
    expect(await offered('invoke', 'hel')).toEqual(['hello', 'help-me']);
    expect(await offered('invoke', 'hello', '--vm', '')).toEqual(['vm1']);
    expect(await offered('invoke', '--vm', 'vm1', 'hello', '--snapshot', '')).toEqual(['mine']);
    expect(await offered('rm', 'vm1', '')).toEqual(['hello', 'help-me', 'vm1', 'mine']);
    expect(await offered('completion', 'b')).toEqual(['bash']);
  });

  it('leaves files to the shell', async () => {
    expect(await offered('deploy', 'hello', '')).toEqual([]);
    expect(await offered('invoke', 'hello', '--event-file', '')).toEqual([]);
  });

  it('offers what it can while no daemon answers', async () => {
    await server.close();
    expect(await offered('invoke', 'hel')).toEqual([]);
    expect(await offered('inv')).toEqual(['invoke']);
  });

  it.each(['bash', 'zsh', 'fish'])('prints a script for %s', async (shell) => {
    expect(await ok(`completion ${shell}`)).toContain('__complete');
  });
});
