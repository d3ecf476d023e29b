/** Drops absent fields: the platform's types tell a missing field from an undefined one. */

export type Compact<T> = {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K];
} & { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };

/** `fields` without those that are undefined. */
export function compact<T extends object>(fields: T): Compact<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Compact<T>;
}

/** The original's clients send an empty string for what they leave out. */
export function given(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** RFC 3339 from milliseconds since the epoch. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}
