/** Kernel modules: what each needs, and the order to load them in. */
import { SparklerError } from '../errors.js';

/** The kernel treats `-` and `_` in module names as the same; file names use either. */
export function moduleName(fileName: string): string {
  return fileName.replace(/\.ko(\.(xz|zst|gz))?$/, '').replaceAll('-', '_');
}

/**
 * The names in a module's `depends=` record.
 * @param file the bytes of an uncompressed `.ko` file.
 */
export function moduleDependencies(file: Buffer): string[] {
  // .modinfo is a list of NUL-terminated `key=value` strings; nothing else in a module looks so.
  const marker = Buffer.from('\0depends=');
  const at = file.indexOf(marker);
  if (at < 0) return [];
  const start = at + marker.length;
  const names = file.toString('latin1', start, file.indexOf(0, start)).split(',');
  return names.filter((name) => name !== '').map(moduleName);
}

/**
 * A line of the list from which the agent loads: `NAME.ko`, or `NAME.ko 0x0018` for a module that is
 * loaded only where there is a virtio device of that number, written as sysfs writes it.
 */
export function orderLine(name: string, virtioDevice?: number): string {
  const number = virtioDevice?.toString(16).padStart(4, '0');
  return number === undefined ? `${name}.ko\n` : `${name}.ko 0x${number}\n`;
}

/**
 * `wanted` and all that they depend on, each after what it needs.
 * @param dependenciesOf the direct dependencies of a module; undefined when there is no such
 *   module: it is built into the kernel, which only a dependency may be.
 * @throws SparklerError IMAGE_BUILD_FAILED when a wanted module does not exist.
 */
export async function loadOrder(
  wanted: readonly string[],
  dependenciesOf: (name: string) => Promise<readonly string[] | undefined>,
): Promise<string[]> {
  const seen = new Set<string>();
  const order: string[] = [];
  const visit = async (name: string): Promise<boolean> => {
    if (seen.has(name)) return true;
    seen.add(name);
    const dependencies = await dependenciesOf(name);
    if (dependencies === undefined) return false;
    for (const dependency of dependencies) await visit(dependency);
    order.push(name);
    return true;
  };
  for (const name of wanted.map(moduleName)) {
    if (!(await visit(name))) {
      throw new SparklerError('IMAGE_BUILD_FAILED', `The kernel package has no module ${name}.`);
    }
  }
  return order;
}
