import { RepriseError } from './errors.js';
import { z } from 'zod';
import type { SecretReference } from './config.js';
import { durationPattern, durationRule, parseDuration } from './text/units.js';

/** A path as it may be in a config: no shell reads it, so `~` would be a directory of that name. */
const pathPattern = /^(?!~)\P{Cc}+$/u;
const pathRule = 'expected a path: whole, or relative to this file, without "~" and control characters';

/** Text for PostgreSQL or a program: both end it at a NUL without a word. */
export const holdsNoNul = (text: string): boolean => !text.includes('\0');
export const noNulRule = 'the text may not hold a NUL';

/** Schemas of paths: the configuration makes a value of theirs absolute, counted from the folder of its file. */
export const pathSchemas = z.registry<{ readonly countedFrom: 'file' }>();

/** Path of a file or directory; relative ones count from the config file's folder. */
export const path = () => z.string().regex(pathPattern, pathRule).register(pathSchemas, { countedFrom: 'file' });

/** `90s 5m 4h 7d`, read as seconds. */
export const duration = () =>
  z.string({ error: durationRule }).regex(durationPattern, durationRule).transform(parseDuration);

const rule =
  'a secret must not be written in this file\nHINT: write { env: NAME }, { file: PATH } or { command: [program, argument, ...] }';
const argument = z.string().refine(holdsNoNul, noNulRule);

/** Where a secret is kept. What is in its place is never repeated in a message. */
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

/**
 * The entry of a registry that the config names.
 * @param unknown what is said of a name that is not there; `known` precedes the names that are
 * @throws RepriseError `config-invalid`
 */
export function registered<K>(kinds: Readonly<Record<string, K>>, name: string, unknown: string, known: string): K {
  const found = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (found === undefined)
    throw new RepriseError('config-invalid', unknown, `${known}: ${Object.keys(kinds).join(', ')}`);
  return found;
}
