/** What every command works with: the daemon, and ways to print. */
import type { Command } from 'commander';
import { DEFAULT_URL, SparklerClient } from '../client/index.js';
import type { Io } from './io.js';
import { renderFields, renderTable } from './table.js';

interface GlobalOptions {
  readonly json?: boolean;
  readonly url?: string;
}

export class Context {
  readonly json: boolean;
  private readonly url: string;

  constructor(
    readonly io: Io,
    command: Command,
  ) {
    const { json, url } = command.optsWithGlobals<GlobalOptions>();
    this.json = json === true;
    this.url = url ?? (io.env['SPARKLER_URL'] || DEFAULT_URL);
  }

  /** Calls the daemon. */
  async with<T>(use: (client: SparklerClient) => Promise<T>): Promise<T> {
    const client = new SparklerClient({ baseUrl: this.url, signal: this.io.interrupted });
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  /** Prints one JSON document with `--json`, else text for people. */
  print(document: unknown, text: () => string): void {
    this.io.stdout.write(this.json ? `${JSON.stringify(document, null, 2)}\n` : text());
  }

  /** The same for a command that goes on: its document is one line, so that a reader need not guess. */
  announce(document: unknown, text: () => string): void {
    this.io.stdout.write(this.json ? `${JSON.stringify(document)}\n` : text());
  }

  table(head: readonly string[], rows: readonly string[][]): string {
    return renderTable(head, rows, this.io.stdout.isTTY === true);
  }

  fields(fields: readonly (readonly [string, string | undefined])[]): string {
    return renderFields(fields);
  }

  /** A remark for people; never part of the result. */
  note(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }
}
