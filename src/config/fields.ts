/** Small builders for the configuration's schema: each field has a description and a default. */
import { Type } from 'typebox';

/** A whole number of the unit that its name ends with. */
export const whole = (fallback: number, min: number, max: number, description: string) =>
  Type.Integer({ default: fallback, minimum: min, maximum: max, description });

/** A count or a size: from 1 up. */
export const count = (fallback: number, max: number, description: string) =>
  whole(fallback, 1, max, description);

/** A wait in milliseconds: from 1 ms to a day. */
export const wait = (fallback: number, description: string) =>
  whole(fallback, 1, 86_400_000, description);

/** Yes or no. */
export const flag = (fallback: boolean, description: string) =>
  Type.Boolean({ default: fallback, description });

/** Text of at least one character. */
export const text = (fallback: string, description: string) =>
  Type.String({ default: fallback, minLength: 1, description });

/** A map from alias to built-in name or absolute path. */
export const aliases = (fallback: Record<string, string>, description: string) =>
  Type.Record(
    Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' }),
    Type.String({ minLength: 1 }),
    { default: fallback, additionalProperties: false, description },
  );

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
