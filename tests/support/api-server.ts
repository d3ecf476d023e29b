/** The real API over a platform in memory, on a real socket. */
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { type Api, buildApi } from '../../src/api/index.js';
import { type Config, loadConfig } from '../../src/config/index.js';
import { MemoryPlatform } from './memory-platform.js';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export interface ApiServer {
  readonly url: string;
  readonly port: number;
  readonly platform: MemoryPlatform;
  readonly api: Api;
  /** What was logged, as one text. */
  readonly log: () => string;
  request(method: string, path: string, body?: unknown, init?: RequestInit): Promise<Answer>;
  /** Sends bytes as they are; answers everything that came back until the other side closed. */
  raw(text: string): Promise<string>;
  close(): Promise<void>;
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => (answer += chunk));
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });
}

export async function startApi(flags: Record<string, unknown> = {}): Promise<ApiServer> {
  const config: Config = loadConfig({ env: {}, flags });
  const platform = new MemoryPlatform();
  const sink = new PassThrough();
  let logged = '';
  sink.on('data', (chunk: Buffer) => (logged += chunk.toString()));
  const api = buildApi(platform, config, pino({ level: 'debug' }, sink));
  const url = await api.listen({ host: '127.0.0.1', port: 0 });
  const port = Number(new URL(url).port);
  return {
    url,
    port,
    platform,
    api,
    log: () => logged,
    async request(method, path, body, init = {}) {
      const json = body === undefined ? {} : { 'content-type': 'application/json' };
      const response = await fetch(url + path, {
        method,
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        ...init,
        headers: { ...json, ...(init.headers as Record<string, string> | undefined) },
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, json: parsed(text) };
    },
    raw: (text) => sendRaw(port, text),
    close: () => api.close(),
  };
}
