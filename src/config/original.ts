/** The original platform's configuration: its names are taken where Sparkler has the same thing. */

const RENAMED: Readonly<Record<string, string>> = { log_level: 'logLevel', base_path: 'dataDir' };

const LATER: Readonly<Record<string, string>> = {
  executables: 'this version finds its VMM by vmm.qemuPath',
  redis_host: 'this version has no object store',
  redis_passwd: 'this version has no object store',
  faascale_mem_config: 'this version has no memory policies',
};

function isNeutral(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).every(isNeutral);
  return value === undefined || value === null || value === '' || value === 0 || value === false;
}

/**
 * Replaces the original's names in a configuration file by Sparkler's.
 * @returns the file's content with Sparkler's names, and what is wrong with it.
 */
export function translateOriginal(file: Readonly<Record<string, unknown>>): {
  readonly content: Record<string, unknown>;
  readonly problems: string[];
} {
  const content: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(file)) {
    const later = LATER[name];
    const renamed = RENAMED[name];
    if (later !== undefined) {
      if (!isNeutral(value)) problems.push(`${name}: ${later}; remove the field or leave it empty`);
    } else if (renamed === undefined) {
      content[name] = value;
    } else if (renamed in file) {
      problems.push(`${name}: is another name of ${renamed}; give only one of the two`);
    } else {
      content[renamed] = value;
    }
  }
  return { content, problems };
}
