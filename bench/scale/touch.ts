/** The function of touch.py through a daemon. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FunctionSettings } from '../../src/client/index.js';
import { REPOSITORY, type DaemonProcess } from '../harness.js';

export const TOUCH_PY = join(REPOSITORY, 'bench/scale/touch.py');
export const TOUCH_HANDLER = 'touch.handler';

type Settings = Omit<FunctionSettings, 'runtime' | 'handler'>;

export async function deployTouch(daemon: DaemonProcess, settings: Settings): Promise<void> {
  const files = { 'touch.py': readFileSync(TOUCH_PY, 'utf8') };
  await daemon.deployFiles(files, { ...settings, runtime: 'python3', handler: TOUCH_HANDLER });
}
