/** `sparkler images`: build what guests run, show what is built, remove what is old. Needs no daemon. */
import type { Command } from 'commander';
import type { Config } from '../../config/index.js';
import { SparklerError } from '../../errors.js';
import { action, examples, option } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { repositoryFolder } from '../repository.js';
import { formatMs } from '../units.js';

interface ImagesOptions {
  readonly config?: string;
  readonly refresh?: boolean;
}

async function configOf(context: Context, { config }: ImagesOptions): Promise<Config> {
  const { loadConfig } = await import('../../config/index.js');
  return loadConfig({ file: config, env: context.io.env });
}

async function build(context: Context, options: ImagesOptions): Promise<void> {
  const { cacheDir } = await configOf(context, options);
  const { buildImages } = await import('../../image/index.js');
  const started = performance.now();
  const result = await buildImages({
    cacheDir,
    repoDir: repositoryFolder(),
    refresh: options.refresh === true,
    onProgress: (step, detail) => {
      const at = formatMs(performance.now() - started).padStart(8);
      context.note(`[${at}] ${step}${detail === undefined ? '' : `: ${detail}`}`);
    },
  });
  const rows = (['kernels', 'images'] as const).flatMap((kind) =>
    Object.entries(result[kind]).map(([name, { dir }]) => [kind.slice(0, -1), name, dir]),
  );
  context.print(result, () => context.table(['kind', 'name', 'folder'], rows));
}

interface Listed {
  readonly kind: 'image' | 'kernel';
  readonly alias: string;
  readonly built: boolean;
  readonly path?: string;
  readonly id?: string;
}

/** One alias of the configuration; not built is not an error here. */
async function look(
  kind: 'image' | 'kernel',
  alias: string,
  resolve: () => Promise<{ readonly id: string; readonly path: string }>,
): Promise<Listed> {
  try {
    return { kind, alias, built: true, ...(await resolve()) };
  } catch (error) {
    const missing = error instanceof SparklerError && error.kind.status === 404;
    if (missing) return { kind, alias, built: false };
    throw error;
  }
}

async function list(context: Context, options: ImagesOptions): Promise<void> {
  const config = await configOf(context, options);
  const { resolveImage, resolveKernel } = await import('../../image/index.js');
  const listed = await Promise.all([
    ...Object.keys(config.kernels).map((alias) =>
      look('kernel', alias, async () => {
        const { id, kernelPath: path } = await resolveKernel(config, alias);
        return { id, path };
      }),
    ),
    ...Object.keys(config.images).map((alias) =>
      look('image', alias, async () => {
        const { id, rootPath: path } = await resolveImage(config, alias);
        return { id, path };
      }),
    ),
  ]);
  context.print(listed, () =>
    context.table(
      ['kind', 'alias', 'id', 'file'],
      listed.map(({ kind, alias, built, id, path }) =>
        built ? [kind, alias, id ?? '', path ?? ''] : [kind, alias, '-', 'not built'],
      ),
    ),
  );
}

async function prune(context: Context, options: ImagesOptions): Promise<void> {
  const { cacheDir, images, kernels } = await configOf(context, options);
  const { pruneImages } = await import('../../image/index.js');
  const keep = [...Object.values(images), ...Object.values(kernels)];
  const removed = await pruneImages({ cacheDir, keep });
  context.print({ removed }, () =>
    removed.length === 0 ? 'Nothing to remove.\n' : removed.map((dir) => `${dir}\n`).join(''),
  );
}

const configOption = () => option('--config <file>', "the daemon's configuration file", 'files');

export function imagesCommand(program: Command, io: Io): void {
  const group = program
    .command('images')
    .description(
      'Build the kernels and root file systems that guests run, list them, or remove old ones.',
    );
  group
    .command('build')
    .summary('Build what is missing.')
    .description(
      'Build the guest kernel, its initramfs and the root file systems from Debian packages.\n' +
        'What is built already is reused. Needs root; takes a few minutes the first time.',
    )
    .addOption(option('--refresh', 'use newer Debian packages where there are some'))
    .addOption(configOption())
    .action(action(io, (context, _args, options: ImagesOptions) => build(context, options)));
  group
    .command('list')
    .description('List the images and kernels of the configuration.')
    .addOption(configOption())
    .action(action(io, (context, _args, options: ImagesOptions) => list(context, options)));
  group
    .command('prune')
    .summary('Remove what newer builds have replaced.')
    .description(
      'Remove built images and kernels that are not current any more, and print their folders.\n' +
        'What the configuration names by its path stays. Snapshots that were made with what is\n' +
        'removed could not be used since the newer build, and still cannot.',
    )
    .addOption(configOption())
    .action(action(io, (context, _args, options: ImagesOptions) => prune(context, options)));
  examples(group, 'sparkler images build', 'sparkler images list', 'sparkler images prune');
}
