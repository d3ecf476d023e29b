'use strict';
// The Node.js runtime: loads a handler, then answers the agent's frames
// (docs/protocol/guest-channel.md). Descriptor 3 is the agent, 4 takes what is to be said when the
// time is up. CommonJS, since the ES module loader is slow to start and many functions do without.

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const crypto = require('node:crypto');
const { syncBuiltinESMExports } = require('node:module');
const openssl = require('./openssl.node');

const AGENT = 3;
const STACKS = 4;
const HEADER_BYTES = 12;
const READ_BYTES = 64 * 1024;
const MAX_RESULT_BYTES = 6 * 1024 * 1024;
const MAX_MESSAGE = 64 * 1024;
const WARM_UP_ROUNDS = 8;
const Type = {
  INVOKE: 0x02,
  RESEED: 0x20,
  PREPARE: 0x21,
  READY: 0x82,
  FAILED: 0x83,
  RESULT: 0x84,
  ERROR: 0x85,
  RESEEDED: 0xa0,
  PREPARED: 0xa1,
};
const root = process.env.LAMBDA_TASK_ROOT;

// ---- frames ----

function frameOf(type, request, size) {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + size);
  frame.writeUInt32LE(size, 0);
  frame.writeUInt32LE(type, 4); // type, the reserved byte, and instance 0
  frame.writeUInt32LE(request, 8);
  return frame;
}

function jsonFrame(type, request, value) {
  const text = JSON.stringify(value);
  const frame = frameOf(type, request, Buffer.byteLength(text));
  frame.write(text, HEADER_BYTES);
  return frame;
}

/** At once when the agent can take it, which it nearly always can; else through the socket. */
function write(socket, frame) {
  let done = 0;
  try {
    done = fs.writeSync(AGENT, frame);
  } catch (error) {
    if (error.code !== 'EAGAIN') throw error;
  }
  if (done < frame.length) socket.write(frame.subarray(done));
}

/** Calls `onFrame` for every whole frame. */
function reader(onFrame) {
  let parts = [];
  let have = 0;
  return (chunk) => {
    parts.push(chunk);
    have += chunk.length;
    while (have >= HEADER_BYTES) {
      if (parts[0].length < HEADER_BYTES) parts = [Buffer.concat(parts)];
      const size = HEADER_BYTES + parts[0].readUInt32LE(0);
      if (have < size) return;
      const all = parts.length === 1 ? parts[0] : Buffer.concat(parts);
      parts = have === size ? [] : [all.subarray(size)];
      have -= size;
      onFrame(all.subarray(0, size));
    }
  };
}

// ---- errors ----

function isOurs(line) {
  return line.includes(__filename) || line.includes('(node:') || line.includes('at node:');
}

function describe(error) {
  if (!(error instanceof Error) && typeof error?.stack !== 'string') {
    return { errorType: typeof error, message: String(error).slice(0, MAX_MESSAGE), stack: '' };
  }
  const stack = String(error.stack)
    .split('\n')
    .filter((line) => !isOurs(line))
    .join('\n');
  return {
    errorType: String(error.name ?? 'Error'),
    message: String(error.message).slice(0, MAX_MESSAGE),
    stack: stack.slice(0, 4 * MAX_MESSAGE),
  };
}

// ---- invocations ----

class Context {
  constructor(values) {
    this.awsRequestId = values.requestId;
    this.functionName = values.functionName;
    this.functionVersion = '$LATEST';
    this.memoryLimitInMB = String(values.memoryMiB);
    this.invokedFunctionArn = `arn:aws:lambda:local:000000000000:function:${values.functionName}`;
    this.logGroupName = `/aws/lambda/${values.functionName}`;
    this.logStreamName = 'sparkler';
    this.callbackWaitsForEmptyEventLoop = false;
    this.getRemainingTimeInMillis = () => Math.max(0, values.deadlineMs - Date.now());
  }
}

/** A handler with three parameters calls back; any other returns its value or a promise of it. */
function call(handler, event, context) {
  if (handler.length < 3) return handler(event, context);
  return new Promise((resolve, reject) => {
    const returned = handler(event, context, (error, value) =>
      error ? reject(error) : resolve(value),
    );
    if (typeof returned?.then === 'function') returned.then(resolve, reject);
  });
}

function resultFrame(request, value, ns) {
  let text;
  try {
    text = JSON.stringify(value) ?? 'null'; // undefined, a function, a symbol
  } catch (error) {
    const message = `What the handler returned is not JSON: ${String(error.message).split('\n')[0]}`;
    return errorFrame(
      request,
      'result',
      { errorType: 'Runtime.MarshalError', message, stack: '' },
      ns,
    );
  }
  const size = Buffer.byteLength(text);
  if (size > MAX_RESULT_BYTES) {
    const message = `The result is ${size} bytes of JSON; at most ${MAX_RESULT_BYTES} are allowed.`;
    return errorFrame(
      request,
      'size',
      { errorType: 'Runtime.ResultTooLarge', message, stack: '' },
      ns,
    );
  }
  const frame = frameOf(Type.RESULT, request, 8 + size);
  frame.writeBigUInt64LE(ns, HEADER_BYTES);
  frame.write(text, HEADER_BYTES + 8);
  return frame;
}

function errorFrame(request, kind, shown, ns) {
  return jsonFrame(Type.ERROR, request, { ...shown, kind, handlerNs: Number(ns) });
}

/** The handler's time is the call alone: neither reading its event nor writing its result. */
async function answer(frame, handler) {
  const request = frame.readUInt32LE(8);
  const split = HEADER_BYTES + 4 + frame.readUInt32LE(HEADER_BYTES);
  let started = process.hrtime.bigint();
  try {
    const context = new Context(JSON.parse(frame.toString('utf8', HEADER_BYTES + 4, split)));
    const event = JSON.parse(frame.toString('utf8', split));
    started = process.hrtime.bigint();
    const value = await call(handler, event, context);
    return resultFrame(request, value, process.hrtime.bigint() - started);
  } catch (error) {
    return errorFrame(request, 'handler', describe(error), process.hrtime.bigint() - started);
  }
}

// ---- around a snapshot ----

/**
 * V8 cannot reseed Math.random, so this takes its place: xoshiro128**, 53 bits from two draws.
 */
const reseedMathRandom = (() => {
  let a, b, c, d;
  const next = () => {
    const five = Math.imul(b, 5);
    const result = Math.imul((five << 7) | (five >>> 25), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result >>> 0;
  };
  Math.random = {
    random() {
      return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
    },
  }.random;
  return (seed) => {
    a = seed.readInt32LE(0) | 1; // never all zero
    b = seed.readInt32LE(4);
    c = seed.readInt32LE(8);
    d = seed.readInt32LE(12);
  };
})();

// randomUUID and randomInt draw thousands of bytes in advance, and a snapshot would hold them. Here
// they do not: to drop that stock by using it up takes seconds in software emulation.
const { randomUUID, randomInt } = crypto;
const INT_BYTES = 6;
const INT_VALUES = 2 ** (8 * INT_BYTES);
const fresh = {
  randomUUID(options) {
    if (options !== undefined && (typeof options !== 'object' || options === null))
      return randomUUID(options);
    return randomUUID({ ...options, disableEntropyCache: true });
  },
  randomInt(...given) {
    const [min, max, callback] = typeof given[1] === 'number' ? given : [0, given[0], given[1]];
    const range = max - min;
    const fine =
      Number.isSafeInteger(min) && Number.isSafeInteger(max) && range > 0 && range < INT_VALUES;
    if (!fine || (callback !== undefined && typeof callback !== 'function'))
      return randomInt(...given);
    let value;
    do value = crypto.randomBytes(INT_BYTES).readUIntBE(0, INT_BYTES);
    while (value >= INT_VALUES - (INT_VALUES % range)); // else small numbers would be likelier
    const result = min + (value % range);
    if (callback === undefined) return result;
    process.nextTick(callback, undefined, result);
  },
};
Object.assign(crypto, fresh);
syncBuiltinESMExports();
const WEB_UUIDS_IN_ADVANCE = 128;

/** Drops all that was drawn before the snapshot, so that its clones draw differently. */
function reseed() {
  openssl.reseed();
  reseedMathRandom(crypto.randomBytes(16));
  // The web's crypto.randomUUID keeps a stock of its own, and loads this when it is first used.
  if (process.moduleLoadList.includes('NativeModule internal/crypto/webcrypto')) {
    for (let i = 0; i < WEB_UUIDS_IN_ADVANCE; i++) randomUUID();
  }
}

/**
 * Stops this process. When it is continued it reseeds in the same turn of the event loop, so before
 * any timer or callback of the function.
 */
function holdStill(prepared) {
  fs.writeSync(AGENT, prepared);
  process.kill(process.pid, 'SIGSTOP');
  reseed();
}

// ---- the handler ----

class NotFound extends Error {}

function listing(folder) {
  try {
    const names = fs.readdirSync(folder, { withFileTypes: true });
    if (names.length === 0) return `${folder} is empty.`;
    const shown = names.slice(0, 20).map((entry) => entry.name + (entry.isDirectory() ? '/' : ''));
    return `${folder} holds: ${shown.join(', ')}${names.length > 20 ? ', …' : ''}.`;
  } catch (error) {
    return `${folder} cannot be read: ${error.code}.`;
  }
}

/** What the nearest package.json says of .js files. */
function isModule(file) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return (
        JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module'
      );
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    if (folder === root || folder === path.dirname(folder)) return false;
  }
}

async function load(handler) {
  const dot = handler.lastIndexOf('.');
  const name = handler.slice(dot + 1);
  const base = path.resolve(root, handler.slice(0, Math.max(0, dot)));
  if (dot <= 0 || name === '' || !base.startsWith(root + path.sep)) {
    throw new NotFound(`The handler '${handler}' is not of the form file.function.`);
  }
  const file = ['.js', '.mjs', '.cjs'].map((ending) => base + ending).find((f) => fs.existsSync(f));
  if (file === undefined) {
    throw new NotFound(
      `The handler '${handler}' needs a file ${path.relative(root, base)}.js, .mjs or .cjs. ${listing(path.dirname(base))}`,
    );
  }
  const loaded = isModule(file) ? await import(file) : require(file);
  const found = loaded?.[name] ?? loaded?.default?.[name];
  if (found === undefined) {
    const own = Object.keys(loaded ?? {}).filter((key) => typeof loaded[key] === 'function');
    const exported =
      own.length === 0 ? 'It exports no function.' : `It exports: ${own.slice(0, 20).join(', ')}.`;
    throw new NotFound(
      `The handler '${handler}' needs a function '${name}' exported by ${file}. ${exported}`,
    );
  }
  if (typeof found !== 'function') {
    throw new NotFound(`The handler '${handler}': '${name}' of ${file} is not a function.`);
  }
  return found;
}

function fail(error) {
  const notFound = error instanceof NotFound;
  const shown = notFound
    ? { errorType: 'Runtime.HandlerNotFound', message: error.message, stack: '' }
    : describe(error);
  fs.writeSync(
    AGENT,
    jsonFrame(Type.FAILED, 0, { ...shown, kind: notFound ? 'not-found' : 'handler' }),
  );
  process.reallyExit(1);
}

/** An invocation without the function's code. */
function rehearsal() {
  const context = Buffer.from('{"requestId":"","functionName":"","memoryMiB":0,"deadlineMs":0}');
  const event = Buffer.from('{"a":[1,2.5,"b",null]}');
  const frame = frameOf(Type.INVOKE, 0, 4 + context.length + event.length);
  frame.writeUInt32LE(context.length, HEADER_BYTES);
  context.copy(frame, HEADER_BYTES + 4);
  event.copy(frame, HEADER_BYTES + 4 + context.length);
  return () => answer(frame, (value) => value);
}

async function warmUp(rehearse) {
  for (let i = 0; i < WARM_UP_ROUNDS; i++) await rehearse();
  reseed();
}

/** A busy event loop cannot say where it is; one that turns can at least say what it waits for. */
function explainTimeout() {
  const waiting = process.getActiveResourcesInfo().filter((name) => !OWN_RESOURCES.has(name));
  const what = waiting.length === 0 ? 'nothing' : waiting.join(', ');
  fs.writeSync(
    STACKS,
    `The handler's promise was still open; the event loop was waiting for: ${what}.\n`,
  );
}
const OWN_RESOURCES = new Set(['PipeWrap', 'SignalWrap']);

async function main() {
  reseedMathRandom(crypto.randomBytes(16));
  let handler;
  try {
    handler = await load(process.env._HANDLER);
  } catch (error) {
    fail(error);
  }
  const rehearse = rehearsal();
  await warmUp(rehearse);
  let fresh = false; // reseeded since it stood still
  const feed = reader((frame) => {
    if (frame[4] === Type.INVOKE)
      void answer(frame, handler).then((result) => write(socket, result));
    else if (frame[4] === Type.PREPARE) {
      holdStill(frameOf(Type.PREPARED, frame.readUInt32LE(8), 0));
      fresh = true;
    } else if (frame[4] === Type.RESEED) {
      if (!fresh) reseed();
      fresh = false;
      const done = frameOf(Type.RESEEDED, frame.readUInt32LE(8), 0);
      // A VM that is restored ahead of its first invocation thereby has the emulator's translation
      // of what an invocation runs behind it.
      void rehearse().then(() => write(socket, done));
    }
  });
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const socket = new net.Socket({
    fd: AGENT,
    // A copy: the buffer is filled again while an invocation still reads its event.
    onread: { buffer, callback: (size) => (feed(Buffer.from(buffer.subarray(0, size))), true) },
  });
  socket.on('end', () => process.reallyExit(0));
  socket.on('error', () => process.reallyExit(0));
  process.on('SIGUSR2', explainTimeout);
  write(socket, frameOf(Type.READY, 0, 0));
}

void main();
