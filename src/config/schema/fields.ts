import { z } from 'zod';
import { holdsNoNul, noNulRule } from '../../domain/fields.js';
import { withHint } from '../problem.js';
import { didYouMean } from '../suggest.js';

const namePattern = /^[\p{L}\p{N}][\p{L}\p{N}\p{M}_.-]{0,62}$/u;

/**
 * Name of a cluster, policy, host, repository, hook, check, target or contact: it becomes part of file paths, workflow
 * ids and task queues, so it holds neither `/` nor `:` nor `..`, no blank and no leading dash.
 */
export const name = (what: string) =>
  z.string().superRefine((text, context) => {
    if (namePattern.test(text) && !text.includes('..') && text === text.normalize('NFC')) return;
    context.addIssue(
      withHint(
        `${JSON.stringify(text)} is no name for a ${what}`,
        'use letters, digits, "_", "-" and single dots, 63 at most, with a letter or a digit first',
      ),
    );
  });

/** Name of a database: anything PostgreSQL itself takes, quotes and newlines too; 63 bytes is its limit. */
export const databaseName = z.string().superRefine((text, context) => {
  if (text === '') context.addIssue('the name of a database may not be empty');
  if (!holdsNoNul(text)) context.addIssue('the name of a database may not hold a NUL');
  if (Buffer.byteLength(text) > 63) context.addIssue('the name of a database may have 63 bytes at most');
});

/** A whole number from 1: 0 and negative numbers would mean "keep nothing" or "never" by accident. */
export const positive = () => z.int().min(1);

export const port = () => z.int().min(1).max(65_535);

/** A program and its arguments: never a shell line. */
export const argv = () =>
  z
    .array(z.string().refine(holdsNoNul, noNulRule), {
      error: ({ input }) =>
        typeof input === 'string'
          ? withHint('expected a list, found text', 'write [program, argument, ...]: no shell reads it')
          : undefined,
    })
    .min(1)
    .refine(([program]) => program !== '', 'the program may not be empty');

/** Name of something that is elsewhere in the file. */
export const reference = (what: string, plural: string, known: readonly string[]) =>
  z.string().superRefine((text, context) => {
    if (!known.includes(text)) {
      context.addIssue(withHint(`unknown ${what} ${JSON.stringify(text)}`, didYouMean(text, known, plural)));
    }
  });

/**
 * A key that may be left out where `resolve-defaults` can conclude it from other parts of the file. The output says
 * that it is there: what is used is read after that.
 */
export const filledIn = <S extends z.ZodType>(schema: S) =>
  schema.optional() as unknown as z.ZodType<
    z.output<S>,
    z.input<S> | undefined,
    z.core.$ZodTypeInternals<z.output<S>, z.input<S> | undefined> & { optin: 'optional' }
  >;

/** A key of the contract whose feature comes in a later version: accepting it would do nothing without a word. */
export const later = (key: string, what: string) =>
  z
    .never({
      error: () =>
        withHint(`"${key}" is not supported by this version`, `remove it: ${what} come with a later version`),
    })
    .optional();

/** A key that will never be accepted, with what to use instead. */
export const refused = (message: string, hint: string) => z.never({ error: () => withHint(message, hint) }).optional();

/** Without a prototype, so that a name such as `constructor` finds nothing that the file does not hold. */
export function mapValues<T, R>(
  values: Readonly<Record<string, T>>,
  change: (value: T, name: string) => R,
): Record<string, R> {
  const result = Object.create(null) as Record<string, R>;
  for (const [name, value] of Object.entries(values)) result[name] = change(value, name);
  return result;
}

/** The entries of a mapping whose keys are all optional, without those that are not there. */
export function present<V>(values: Readonly<Partial<Record<string, V>>>): Record<string, V> {
  return mapValues(
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)),
    (value) => value as V,
  );
}

export const atLeastOne = (what: string) => (value: object, context: z.RefinementCtx) => {
  if (Object.keys(value).length === 0) context.addIssue(`there is no ${what} here`);
};

/** A mapping from names to settings, as it is written. */
export const dictionary = <V extends z.ZodType>(what: string, value: V) => z.record(name(what), value);

/** A mapping from names to settings, read as settings that know their names. */
export const named = <V extends z.ZodType<object>>(what: string, value: V) =>
  dictionary(what, value).transform((values) =>
    mapValues<z.output<V>, { name: string } & z.output<V>>(values, (settings, key) => ({ name: key, ...settings })),
  );
