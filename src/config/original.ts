/** The original platform's configuration: its names are taken where Sparkler has the same thing. */

const RENAMED: Readonly<Record<string, string>> = { log_level: 'logLevel', base_path: 'dataDir' };

const LATER: Readonly<Record<string, string>> = {
  executables: 'this version finds its VMM by vmm.qemuPath',
  redis_host: 'this version has no object store',
  redis_passwd: 'this version has no object store',
};

const MEMORY = 'faascale_mem_config';

/** Its fields, and Sparkler's in the group `memory`. */
const MEMORY_FIELDS: Readonly<Record<string, string>> = {
  stats_polling_interval_s: 'balloonStatsS',
  pre_alloc_mem: 'preAllocMem',
  pre_tdp_fault: 'preTdpFault',
};

const isGroup = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The original's group as a part of Sparkler's group `memory`, which the file may have too. */
function translateMemory(
  group: unknown,
  own: unknown,
): { readonly memory: unknown; readonly problems: string[] } {
  if (group === null) return { memory: own, problems: [] };
  if (!isGroup(group)) return { memory: own, problems: [`${MEMORY}: must be an object`] };
  const memory: Record<string, unknown> = isGroup(own) ? { ...own } : {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(group)) {
    const field = MEMORY_FIELDS[name];
    if (field === undefined) problems.push(`${MEMORY}.${name}: is not a field of it`);
    else if (field in memory) {
      problems.push(
        `${MEMORY}.${name}: is another name of memory.${field}; give only one of the two`,
      );
    } else if (value !== null) memory[field] = value;
  }
  // What is no group at all is refused by the schema.
  return { memory: own === undefined || isGroup(own) ? memory : own, problems };
}

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
    if (name === MEMORY) continue;
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
  if (MEMORY in file) {
    const translated = translateMemory(file[MEMORY], file['memory']);
    if (translated.memory !== undefined) content['memory'] = translated.memory;
    problems.push(...translated.problems);
  }
  return { content, problems };
}
