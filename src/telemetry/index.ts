/** The telemetry room's face: logs, metrics, trace ids. */
export { createLogger, type Logger, type LogLevel } from './logger.js';
export { newTraceId } from './trace.js';
export { Metrics, type EndedInvocation, type MetricsState, type VmEnd } from './metrics.js';
