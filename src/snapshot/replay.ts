/** native/page-tools/page-replay: what touching pages costs, by each way of mapping them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { SparklerError } from '../errors.js';
import type { PageTools } from './native.js';

/** Set in a trace's number when the page is written. */
export const WRITTEN_BIT = 0x8000_0000;

/** How the memory comes into the process; the strategies' ways, and reading it from front to back. */
export type ReplayWay =
  | { readonly kind: 'private' }
  | { readonly kind: 'read' }
  | {
      readonly kind: 'layers';
      /** The preload's plan, as `encodePlan` gives it. */
      readonly planPath: string;
      readonly workingSetPath?: string | undefined;
      /** page-loader reads the working-set file beside the replay. */
      readonly loader?: boolean | undefined;
      /** The kernel is asked to read the working-set file ahead. */
      readonly willNeed?: boolean | undefined;
    }
  | {
      readonly kind: 'userfault';
      readonly sumsPath: string;
      readonly workingSet?: { readonly path: string; readonly direct: boolean } | undefined;
    };

export interface ReplayRequest {
  readonly memoryPath: string;
  /** Raw u32 page numbers, WRITTEN_BIT set where the page is written. */
  readonly tracePath: string;
  readonly way: ReplayWay;
  /** What is done to the page cache of exactly these files before; nothing when absent. */
  readonly cache?: 'cold' | 'warm' | undefined;
  /** CRC32C over the first 8 bytes of each page in the trace's order. */
  readonly expect?: number | undefined;
  /** Work after each touch, nanoseconds. Default 0. */
  readonly workNs?: number | undefined;
  /** Anonymous memory may have huge pages. */
  readonly huge?: boolean | undefined;
  /** The kernel does not read ahead where the memory file is mapped. */
  readonly random?: boolean | undefined;
}

/** See the head of page-replay.c. Times in nanoseconds from the start of the mapping. */
export interface ReplayResult {
  readonly mapNs: number;
  readonly readyNs: number;
  readonly totalNs: number;
  readonly minorFaults: number;
  readonly majorFaults: number;
  readonly allMinorFaults: number;
  readonly allMajorFaults: number;
  readonly served: number;
  readonly copied: number;
  readonly prefetched: number;
  readonly populated: number;
  readonly populateNs: number;
  readonly populateFailures: number;
  readonly readBytes: number;
  readonly privateBytes: number;
  readonly sum: number;
}

/** The first descriptor that it inherits beside the standard ones. */
const FIRST_FD = 3;

/**
 * Replays a trace once.
 * @throws SparklerError INTERNAL when it failed, also when wrong bytes were read, VMM_FAILED when it
 * took longer than `tools.limitMs`, DEPENDENCY_MISSING.
 */
export async function replay(request: ReplayRequest, tools: PageTools): Promise<ReplayResult> {
  const opened: FileHandle[] = [];
  const args: string[] = [];
  const give = async (option: string, path: string, flags = 0): Promise<void> => {
    args.push(option, String(FIRST_FD + opened.length));
    opened.push(await open(path, constants.O_RDONLY | flags));
  };
  try {
    await give('--memory', request.memoryPath);
    await give('--trace', request.tracePath);
    args.push('--mode', request.way.kind, ...optionsOf(request));
    if (request.way.kind === 'layers') {
      const { planPath, workingSetPath, loader, willNeed } = request.way;
      await give('--plan', planPath);
      if (workingSetPath !== undefined) await give('--working-set', workingSetPath);
      if (loader) args.push('--loader', join(tools.nativeDir, 'page-loader'));
      if (willNeed) args.push('--will-need');
    } else if (request.way.kind === 'userfault') {
      const { sumsPath, workingSet } = request.way;
      args.push('--server', join(tools.nativeDir, 'page-server'));
      await give('--sums', sumsPath);
      if (workingSet !== undefined) {
        await give('--working-set', workingSet.path, workingSet.direct ? constants.O_DIRECT : 0);
        if (workingSet.direct) args.push('--direct');
      }
    }
    const program = join(tools.nativeDir, 'page-replay');
    const stdio = ['ignore' as const, 'pipe' as const, 'pipe' as const];
    const child = spawn(program, args, { env: {}, stdio: [...stdio, ...opened.map((f) => f.fd)] });
    return await resultOf(child, tools.limitMs);
  } finally {
    await Promise.all(opened.map((file) => file.close()));
  }
}

function optionsOf({ cache, expect, workNs, huge, random }: ReplayRequest): string[] {
  return [
    ...(cache === undefined ? [] : [`--${cache}`]),
    ...(expect === undefined ? [] : ['--expect', String(expect)]),
    ...(workNs ? ['--work', String(workNs)] : []),
    ...(huge ? ['--huge'] : []),
    ...(random ? ['--random'] : []),
  ];
}

async function resultOf(child: ChildProcess, limitMs: number): Promise<ReplayResult> {
  let out = '';
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('close', resolve);
      child.once('error', (error) => {
        const message = 'Cannot start page-replay. Run "make setup" to build it.';
        reject(new SparklerError('DEPENDENCY_MISSING', message, {}, error));
      });
    });
    if (code === 0) return JSON.parse(out) as ReplayResult;
  } finally {
    clearTimeout(limit);
  }
  if (child.signalCode === 'SIGKILL') {
    throw new SparklerError('VMM_FAILED', `page-replay took longer than ${limitMs} ms.`);
  }
  throw new SparklerError('INTERNAL', `page-replay failed: ${said.trim()}`);
}
