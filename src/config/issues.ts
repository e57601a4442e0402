import { z } from 'zod';
import type { ConfigPath, Problem } from './problem.js';
import { splitHint, withHint } from './problem.js';
import { didYouMean } from './suggest.js';

type Issue = z.core.$ZodIssue;
type RawIssue = z.core.$ZodRawIssue;

/** Validates and returns either the value or everything that is wrong with it, in our own words. */
export function validate<S extends z.ZodType>(
  schema: S,
  value: unknown,
): { value?: z.output<S>; problems: readonly Problem[] } {
  const knownKeys = new Map<string, readonly string[]>();
  const result = schema.safeParse(value, {
    // The schema is made for one file: compiling it would cost more than it gains.
    jitless: true,
    error: (issue) => {
      if (issue.code === 'unrecognized_keys' && issue.inst instanceof z.ZodObject) {
        knownKeys.set(keyOf(issue.path ?? []), acceptedKeys(issue.inst));
      }
      return wording(issue);
    },
  });
  if (result.success) return { value: result.data, problems: [] };
  return { problems: result.error.issues.flatMap((issue) => problemsOf(issue, value, knownKeys)) };
}

/** Keys that are there only to be refused in plain words are no suggestion. */
function acceptedKeys(schema: z.ZodObject): string[] {
  const refused = (field: unknown) => field instanceof z.ZodOptional && field.unwrap() instanceof z.ZodNever;
  return Object.entries(schema.shape)
    .filter(([, field]) => !refused(field))
    .map(([key]) => key);
}

const keyOf = (path: readonly PropertyKey[]) => JSON.stringify(path);

function problemsOf(issue: Issue, value: unknown, knownKeys: ReadonlyMap<string, readonly string[]>): Problem[] {
  const path = issue.path as ConfigPath;
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys.get(keyOf(path)) ?? [];
    return issue.keys.map((key) => ({
      path: [...path, key],
      atKey: true,
      message: `unknown key ${JSON.stringify(key)}`,
      hint: didYouMean(key, known, 'keys'),
    }));
  }
  if (issue.code === 'invalid_key') {
    return [{ path, atKey: true, ...splitHint(issue.issues[0]?.message ?? issue.message) }];
  }
  const missing = missingPart(path, value);
  if (missing !== undefined) return [{ path, message: `missing key "${missing}"` }];
  return [
    {
      path,
      ...(issue.code === 'invalid_type' && issue.expected === 'never' ? { atKey: true } : {}),
      ...splitHint(issue.message),
    },
  ];
}

/** Keys of the path, dotted, from the first one that is not in the file; undefined where all are. */
function missingPart(path: ConfigPath, value: unknown): string | undefined {
  let present = value;
  for (const [index, step] of path.entries()) {
    if (typeof present !== 'object' || present === null) return undefined;
    if (!Object.hasOwn(present, step)) return path.slice(index).join('.');
    present = (present as Record<string | number, unknown>)[step];
  }
  return undefined;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  null: 'nothing',
};

/** What a reader is told of an issue, and where it helps a hint. Of values only short words of closed lists are repeated. */
function wording(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(String(issue.expected), issue.input);
    case 'invalid_value':
      return notOneOf(issue.input, (issue.values as unknown[]).map(String), 'values');
    case 'invalid_union':
      return issue.discriminator === undefined ? undefined : unknownKind(issue);
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `${lastKey(issue)} may not be empty`
        : `${lastKey(issue)} must be at least ${String(issue.minimum)}`;
    case 'too_big':
      return `${lastKey(issue)} must be at most ${String(issue.maximum)}`;
    default:
      return undefined;
  }
}

function wrongType(expected: string, input: unknown): string {
  const found = input === null ? 'null' : Array.isArray(input) ? 'array' : typeof input;
  const message = `expected ${typeNames[expected] ?? expected}, found ${found === 'number' ? 'a number' : (typeNames[found] ?? found)}`;
  if (expected === 'string' && typeof input !== 'object') return withHint(message, 'put it in quotes');
  return found === 'number' && (expected === 'int' || expected === 'number') ? 'expected a whole number' : message;
}

function notOneOf(input: unknown, values: readonly string[], what: string): string {
  if (typeof input !== 'string') return `expected one of: ${values.join(', ')}`;
  return withHint(`${JSON.stringify(input)} is not known here`, didYouMean(input, values, what));
}

function unknownKind(issue: RawIssue & { code: 'invalid_union' }): string {
  const discriminator = String(issue.discriminator);
  const known = Array.isArray(issue.options) ? issue.options.map(String) : [];
  const input = (issue.input as Record<string, unknown>)[discriminator];
  if (typeof input !== 'string') return `expected one of: ${known.join(', ')}`;
  return withHint(`unknown ${discriminator} ${JSON.stringify(input)}`, didYouMean(input, known, `${discriminator}s`));
}

const lastKey = (issue: RawIssue): string => {
  const keys = (issue.path ?? []).filter((step) => typeof step === 'string');
  return keys.at(-1) ?? 'the value';
};
