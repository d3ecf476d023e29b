/** Writes docs/configuration.md from the schema, so that the two cannot differ. */
import { LEAVES, type Leaf } from './leaves.js';

const HEAD = `# Configuration

<!-- Made from src/config/schema.ts by \`npm run generate\`; change it there. -->

Every field has a default; a daemon runs without any configuration. What comes later wins:

1. a JSON file: \`sparkler daemon --config FILE\`, or \`SPARKLER_CONFIG\`;
2. the environment: a field's name in capitals, \`limits.maxVms\` is \`SPARKLER_LIMITS_MAX_VMS\`;
   a list is written \`a:b\`, a map or a yes or no as JSON;
3. the flags of \`sparkler daemon\`.

Unknown fields, wrong types and values out of range are refused, all of them in one message.
Relative paths start at the working directory. \`sparkler daemon --print-config\` shows what holds.

The original platform's names \`log_level\` and \`base_path\` are taken for \`logLevel\` and \`dataDir\`,
and \`stats_polling_interval_s\`, \`pre_alloc_mem\` and \`pre_tdp_fault\` in its \`faascale_mem_config\` for
\`memory.balloonStatsS\`, \`memory.preAllocMem\` and \`memory.preTdpFault\`; \`executables\`, \`redis_host\`
and \`redis_passwd\` must be absent or empty.

A file needs only what differs:

\`\`\`json
{ "port": 9090, "dataDir": "/srv/sparkler", "limits": { "maxVms": 16 } }
\`\`\`
`;

const GROUPS: Readonly<Record<string, string>> = {
  '': 'General',
  limits: 'limits: sizes and numbers of things',
  timeouts: 'timeouts: how long each wait may last',
  admission: "admission: what microVMs may take of the host's memory",
  placement: 'placement: where invocations go that name no microVM',
  pool: 'pool: microVMs started ahead of their invocations',
  memory: "memory: how a running microVM's memory follows its instances",
  vmm: 'vmm: the VMM processes',
};

function value(leaf: Leaf): string {
  if (leaf.path[0] === 'cacheDir') return '';
  return leaf.fallback === '' ? 'empty' : `\`${JSON.stringify(leaf.fallback)}\``;
}

function row(leaf: Leaf): string {
  const cells = [`\`${leaf.path.join('.')}\``, value(leaf), leaf.range, leaf.description];
  return `| ${cells.join(' | ')} |`;
}

/** The text of docs/configuration.md. */
export function configurationDocument(): string {
  const sections = Object.entries(GROUPS).map(([group, title]) => {
    const rows = LEAVES.filter((leaf) => (leaf.path.length > 1 ? leaf.path[0] : '') === group);
    return [
      `## ${title}`,
      '',
      '| field | default | values | meaning |',
      '| --- | --- | --- | --- |',
      ...rows.map(row),
      '',
    ].join('\n');
  });
  return [HEAD, ...sections].join('\n');
}
