/** What the kernel does not end when the host runs out of memory: proc_pid_oom_score_adj(5). */
import { readFile, writeFile } from 'node:fs/promises';
import { isErrno } from '../errors.js';

/** Ended last: -1000 would be never, and a daemon that leaks should not take the host with it. */
const PROTECTED = -900;

/**
 * Makes this process one of the last that the kernel ends. VMMs and page servers are not protected
 * with it: `vmm-launch` raises theirs.
 * @returns why that was not allowed; undefined: it is done.
 */
export async function protectFromOomKiller(
  path = '/proc/self/oom_score_adj',
): Promise<string | undefined> {
  try {
    // Whoever started it may have protected it better.
    if (Number(await readFile(path, 'utf8')) <= PROTECTED) return undefined;
    await writeFile(path, String(PROTECTED));
    return undefined;
  } catch (error) {
    for (const code of ['EACCES', 'EPERM', 'EROFS', 'ENOENT']) {
      if (isErrno(error, code)) return `${path} cannot be lowered (${code})`;
    }
    throw error;
  }
}
