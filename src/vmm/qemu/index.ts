export { createQemuDriver, qemuVersion, type QemuOptions } from './driver.js';
export { encodePlan } from './plan.js';
