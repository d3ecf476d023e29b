/** Recipes: the files under images/ that say what kernels and images are made of. */
import { readFile } from 'node:fs/promises';
import { Type, type Static, type TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { SparklerError } from '../errors.js';

const closed = { additionalProperties: false } as const;
const Suite = Type.String({ pattern: '^[a-z]+$' });
const Package = Type.String({ pattern: '^[a-z0-9][a-z0-9.+-]*$' });
const AbsolutePath = Type.String({ pattern: '^/[^,\\s]*$' });
/** Goes through a shell that expands `*` and must see nothing else to expand. */
const PathPattern = Type.String({ pattern: '^/[A-Za-z0-9._+*/-]+$' });

const Module = Type.String({ pattern: '^[A-Za-z0-9_-]+$' });

const KernelRecipeSchema = Type.Object(
  {
    /** The Debian release that the package comes from. */
    suite: Suite,
    /** The kernel's package, or one that only depends on it. */
    package: Package,
    /** Modules that the agent loads at boot; what they need is found by itself. */
    modules: Type.Array(Module),
    /** Modules that it loads only where the machine has the virtio device of that number. */
    deviceModules: Type.Record(Module, Type.Integer({ minimum: 1, maximum: 0xffff })),
  },
  closed,
);

const RootRecipeSchema = Type.Object(
  {
    suite: Suite,
    packages: Type.Array(Package),
    /** Paths that packages do not get to install, as dpkg's path-exclude. */
    exclude: Type.Array(AbsolutePath),
    /**
     * Paths, with `*`, that are removed once everything is installed: what may not be excluded
     * because a package's own set-up fails without it.
     */
    remove: Type.Array(PathPattern),
    /** Folders whose Python files are compiled. */
    compilePython: Type.Array(AbsolutePath),
    /** Memory in MiB that a VM with this image needs. */
    minMemMiB: Type.Integer({ minimum: 1 }),
  },
  closed,
);

export type KernelRecipe = Static<typeof KernelRecipeSchema>;
export type RootRecipe = Static<typeof RootRecipeSchema>;

/** @throws SparklerError INVALID_CONFIG when the file is missing or not a kernel recipe. */
export function readKernelRecipe(path: string): Promise<KernelRecipe> {
  return readRecipe(path, KernelRecipeSchema);
}

/** @throws SparklerError INVALID_CONFIG when the file is missing or not an image recipe. */
export function readRootRecipe(path: string): Promise<RootRecipe> {
  return readRecipe(path, RootRecipeSchema);
}

async function readRecipe<T extends TSchema>(path: string, schema: T): Promise<Static<T>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SparklerError(
      'INVALID_CONFIG',
      `The recipe ${path} is unreadable: ${reason}`,
      {},
      error,
    );
  }
  if (Value.Check(schema, value)) return value;
  const first = Value.Errors(schema, value)[0];
  const where = first === undefined ? '' : `${first.instancePath || '/'} ${first.message}`;
  throw new SparklerError('INVALID_CONFIG', `The recipe ${path} is wrong: ${where}`);
}
