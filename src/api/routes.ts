/** All resources. A new one is a file here and a line in this list. */
import { codeRoutes } from './code.js';
import type { Api, ApiContext } from './context.js';
import { functionRoutes } from './functions.js';
import { invocationRoutes } from './invocations.js';
import { mincoreRoutes } from './mincore.js';
import { reapRoutes } from './reap.js';
import { snapshotRoutes } from './snapshots.js';
import { systemRoutes } from './system.js';
import { vmmRoutes } from './vmms.js';
import { vmRoutes } from './vms.js';
import { ErrorSchema } from './wire.js';
import { workingSetRoutes } from './working-set.js';

const RESOURCES = [
  functionRoutes,
  codeRoutes,
  vmRoutes,
  vmmRoutes,
  snapshotRoutes,
  mincoreRoutes,
  reapRoutes,
  workingSetRoutes,
  invocationRoutes,
  systemRoutes,
];

export function registerRoutes(app: Api, context: ApiContext): void {
  app.addSchema(ErrorSchema);
  for (const register of RESOURCES) register(app, context);
}
