/**
 * The rooms of docs/architecture.md, top first: a room may use the rooms below it, never those
 * above, and only through their index.ts.
 */
const rooms = [
  'cli',
  'evaluation',
  'client',
  'api',
  'control',
  'snapshot',
  'memory',
  'vmm',
  'guest',
  'network',
  'image',
  'registry',
  'objects',
  'telemetry',
  'config',
];

/** src/cli may start the daemon (src/main.ts) but otherwise sees only the client and below config. */
const forbidden = [
  { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
  {
    name: 'main-knows-all-and-nobody-knows-main',
    severity: 'error',
    from: { path: '^src/(?!main|cli/)' },
    to: { path: '^src/main\\.ts$' },
  },
  {
    name: 'cli-talks-through-the-client',
    comment:
      'main.ts is imported lazily by the daemon command; image, config and evaluation need no daemon.',
    severity: 'error',
    from: { path: '^src/cli/' },
    to: {
      path: '^src/(?!cli/|evaluation/|client/|image/|config/|telemetry/|main\\.ts|errors\\.ts)',
    },
  },
  {
    name: 'evaluation-is-a-client-at-most',
    severity: 'error',
    from: { path: '^src/evaluation/' },
    to: { path: '^src/(?!evaluation/|client/|errors\\.ts)' },
  },
  {
    name: 'client-knows-only-the-wire',
    severity: 'error',
    from: { path: '^src/client/' },
    to: { path: '^src/(?!client/|errors\\.ts)' },
  },
  {
    name: 'one-face-per-room',
    severity: 'error',
    from: { path: '^src/([^/]+)/', pathNot: '\\.test\\.ts$' },
    to: { path: '^src/([^/]+)/', pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$'] },
  },
  ...rooms.map((room, i) => ({
    name: `${room}-uses-only-rooms-below`,
    severity: 'error',
    from: { path: `^src/${room}/` },
    to: { path: `^src/(${rooms.slice(0, i).join('|') || 'none'})/` },
  })),
  {
    name: 'errors-know-nothing',
    severity: 'error',
    from: { path: '^src/errors\\.ts$' },
    to: { path: '^src/' },
  },
];

module.exports = {
  forbidden,
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
