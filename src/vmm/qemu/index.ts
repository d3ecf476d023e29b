export { createQemuDriver, qemuVersion, type QemuOptions } from './driver.js';
