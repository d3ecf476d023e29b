/** Experiments and what comes out of them. */
export {
  type AzureEvaluation,
  type AzureReport,
  DEFAULT_POLICIES,
  DEFAULT_VM_MEMORY_MIB,
  evaluateAzure,
  parsePolicies,
  type PolicyResult,
} from './azure/index.js';
export { checkOutput, writeOutput } from './output.js';
