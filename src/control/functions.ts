/** Functions: their records, kept in memory as the registry has them, and their code. */
import type { Readable } from 'node:stream';
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { Registry } from '../registry/index.js';
import { CodeStore } from './code.js';
import type { DiskLedger } from './disk.js';
import { notFound, overLimit } from './errors.js';
import { toRecord } from './function-input.js';
import type { ImagePort } from './ports.js';
import type { FunctionInput, FunctionRecord } from './types.js';

export interface FunctionsDeps {
  readonly config: Config;
  readonly registry: Registry;
  readonly images: ImagePort;
  readonly ledger: DiskLedger;
  /** True while a VM or a snapshot of the function uses this code. */
  readonly codeInUse: (name: string, codeId: string) => boolean;
}

export class Functions {
  readonly #deps: FunctionsDeps;
  readonly #code: CodeStore;
  readonly #records = new Map<string, FunctionRecord>();

  constructor(deps: FunctionsDeps) {
    this.#deps = deps;
    this.#code = new CodeStore(deps.config.dataDir, deps.registry.journal);
    for (const record of deps.registry.functions()) this.#records.set(record.name, record);
  }

  list(): FunctionRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): FunctionRecord | undefined {
    return this.#records.get(name);
  }

  /** @throws SparklerError FUNCTION_NOT_FOUND */
  get(name: string): FunctionRecord {
    const record = this.#records.get(name);
    if (record === undefined) throw notFound.function(name);
    return record;
  }

  /** @throws SparklerError INVALID_REQUEST, LIMIT_EXCEEDED, IMAGE_NOT_FOUND, KERNEL_NOT_FOUND */
  put(input: FunctionInput): FunctionRecord {
    const { config, images } = this.#deps;
    const before = this.#records.get(input.name);
    if (before === undefined && this.#records.size >= config.limits.maxFunctions) {
      throw overLimit('func_name', `is one too many: there are ${this.#records.size} functions`);
    }
    const record = toRecord(input, before, config, Date.now());
    if (!images.hasImage(record.image)) {
      throw new SparklerError(
        'IMAGE_NOT_FOUND',
        unknownAlias('image', record.image, config.images),
        {
          field: 'image',
        },
      );
    }
    if (!images.hasKernel(record.kernel)) {
      const message = unknownAlias('kernel', record.kernel, config.kernels);
      throw new SparklerError('KERNEL_NOT_FOUND', message, { field: 'kernel' });
    }
    this.#save(record);
    return record;
  }

  /** @throws SparklerError FUNCTION_NOT_FOUND, INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL */
  async putCode(name: string, archive: Readable): Promise<FunctionRecord> {
    this.get(name);
    const { config, images, ledger } = this.#deps;
    // How much it unpacks to is not known before; it must at least not begin on a full disk.
    const claim = { folder: config.dataDir, bytes: () => 0 };
    (await ledger.reserve('the code', [claim])).release();
    const code = await this.#code.add(name, archive, images);
    try {
      // The function may have been changed or deleted while the drive was built.
      const { codeId, bytes: codeBytes } = code;
      const record = { ...this.get(name), codeId, codeBytes, updatedAt: Date.now() };
      this.#save(record, code.journalIds);
      return record;
    } finally {
      code.settle();
      await this.sweep(name);
      // Also when the record was not saved: an entry left open would remove the same code later.
      this.#deps.registry.journal.doneAll(code.journalIds);
    }
  }

  /** Where the drive of `codeId` lies. @throws SparklerError FUNCTION_HAS_NO_CODE */
  drive(name: string, codeId: string | undefined): string {
    if (codeId !== undefined) return this.#code.drive(name, codeId);
    throw new SparklerError(
      'FUNCTION_HAS_NO_CODE',
      `The function ${name} has no code yet. Upload it first.`,
      { field: 'func_name' },
    );
  }

  /** Forgets the function and removes its code. The caller has ended what uses it. */
  async delete(name: string): Promise<void> {
    this.get(name);
    this.#deps.registry.dropFunction(name);
    this.#records.delete(name);
    await this.sweep(name);
  }

  /** Removes the code of `name` that neither its record nor a VM nor a snapshot uses. */
  async sweep(name: string): Promise<void> {
    const inUse = (codeId: string): boolean =>
      this.#records.get(name)?.codeId === codeId || this.#deps.codeInUse(name, codeId);
    await this.#code.sweep(name, inUse);
  }

  /** At the daemon's start: the same for all functions, known or not. */
  async sweepAll(): Promise<void> {
    for (const name of this.#code.names()) await this.sweep(name);
  }

  #save(record: FunctionRecord, journalIds: readonly number[] = []): void {
    this.#deps.registry.putFunction(record, journalIds);
    this.#records.set(record.name, record);
  }
}

function unknownAlias(
  what: string,
  alias: string,
  known: Readonly<Record<string, string>>,
): string {
  const names = Object.keys(known).join(', ') || 'none';
  return `There is no ${what} named ${alias}. The configuration has: ${names}.`;
}
