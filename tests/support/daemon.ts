/** A real daemon as its own process: the harness that benchmarks use too. */
export { DaemonProcess as TestDaemon, Home, REPOSITORY } from '../../bench/harness.js';
