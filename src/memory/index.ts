/** The memory room's face: how a running VM's memory follows its instances. */
export { planMemory, policyMissing, policyOf } from './policies.js';
export { Peaks, type PeakStore } from './peaks.js';
export {
  POLICY_NAMES,
  type ElasticMemory,
  type Grant,
  type MemoryPlan,
  type MemorySummary,
  type MemoryView,
  type MemoryVm,
  type PolicyName,
} from './policy.js';
