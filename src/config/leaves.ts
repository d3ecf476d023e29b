/** The configuration's fields as a flat list: for environment names, flags and the document. */
import type { TSchema } from 'typebox';
import { ConfigSchema } from './schema.js';

/** What a field holds; a list is written `a:b`, the last two as JSON where only text can be given. */
type LeafKind = 'text' | 'integer' | 'list' | 'map' | 'flag';

/** One field: `limits.maxVms` is `SPARKLER_LIMITS_MAX_VMS` in the environment. */
export interface Leaf {
  readonly path: readonly string[];
  readonly env: string;
  readonly kind: LeafKind;
  readonly description: string;
  readonly fallback: unknown;
  /** In words: `1 to 64`, `auto, kvm, tcg`, `true, false`. */
  readonly range: string;
}

/** JSON schema, as far as it is read here. */
interface Node {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly properties?: Record<string, TSchema>;
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: { readonly enum?: readonly string[] };
}

/** `tbSizeMiB` becomes `TB_SIZE_MIB`. */
function envName(path: readonly string[]): string {
  const words = path.map((name) =>
    name
      .replaceAll('MiB', 'Mib')
      .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
      .toUpperCase(),
  );
  return ['SPARKLER', ...words].join('_');
}

function kindOf(node: Node): LeafKind {
  if (node.type === 'integer') return 'integer';
  if (node.type === 'array') return 'list';
  if (node.type === 'boolean') return 'flag';
  return node.type === 'object' ? 'map' : 'text';
}

function rangeOf(node: Node): string {
  if (node.enum) return node.enum.join(', ');
  if (node.items?.enum) return `some of ${node.items.enum.join(', ')}`;
  if (node.type === 'boolean') return 'true, false';
  if (node.minimum !== undefined && node.maximum !== undefined) {
    return `${node.minimum} to ${node.maximum}`;
  }
  return '';
}

function leavesOf(node: Node, path: readonly string[]): Leaf[] {
  if (node.properties) {
    return Object.entries(node.properties).flatMap(([name, child]) =>
      leavesOf(child as Node, [...path, name]),
    );
  }
  return [
    {
      path,
      env: envName(path),
      kind: kindOf(node),
      description: node.description ?? '',
      fallback: node.default,
      range: rangeOf(node),
    },
  ];
}

/** Every field of the configuration, in the schema's order. */
export const LEAVES: readonly Leaf[] = leavesOf(ConfigSchema, []);
