import { z } from 'zod';
import type { SecretReference } from './config.js';
import { holdsNoNul, noNulRule, pathPattern, pathRule } from './text/text-rules.js';
import { durationPattern, durationRule, parseDuration } from './text/units.js';

/** Schemas of paths: the configuration makes a value of theirs absolute, counted from the folder of its file. */
export const pathSchemas = z.registry<{ readonly countedFrom: 'file' }>();

/** Path of a file or directory; relative ones count from the config file's folder. */
export const path = () => z.string().regex(pathPattern, pathRule).register(pathSchemas, { countedFrom: 'file' });

/** `90s 5m 4h 7d`, read as seconds. */
export const duration = () =>
  z.string({ error: durationRule }).regex(durationPattern, durationRule).transform(parseDuration);

const rule =
  'a secret may not stand in this file\nHINT: write { env: NAME }, { file: PATH } or { command: [program, argument, ...] }';
const argument = z.string().refine(holdsNoNul, noNulRule);

/** Where a secret is kept (F39). What stands in its place is never repeated in a message. */
export const secretReference = (): z.ZodType<SecretReference, SecretReference> =>
  z.union(
    [
      z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }),
      z.strictObject({ file: path() }),
      z.strictObject({ command: z.array(argument).min(1) }),
    ],
    { error: rule },
  );

/** Whether a value is a reference to a secret, which may be shown. */
export function isSecretReference(value: unknown): value is SecretReference {
  if (typeof value !== 'object' || value === null) return false;
  const [key, ...others] = Object.keys(value);
  return others.length === 0 && (key === 'env' || key === 'file' || key === 'command');
}

/** File of the authorities that sign the server's certificate. */
export const caFile = () =>
  path()
    .optional()
    .describe("PEM file of the authorities that sign the server's certificate; absent: those of this system.");
