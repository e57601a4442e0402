import { visible } from '../text/text.js';

/** What a cluster holds besides the rows of its tables, as recorded with a backup of it. */
export interface RecordedObjects {
  /** Roles that own something or have rights on something. */
  readonly roles: readonly string[];
  /** Those that were made beside PostgreSQL's own. */
  readonly tablespaces: readonly string[];
  readonly databases: readonly DatabaseObjects[];
}

export interface DatabaseObjects {
  readonly database: string;
  readonly extensions: readonly string[];
  readonly largeObjects: LargeObjects;
  /** Sequences that belong to no column: the value each has given last; null: it has given none. */
  readonly sequences: readonly SequenceValue[];
  readonly definitions: readonly Definitions[];
}

export interface LargeObjects {
  readonly count: number;
  /** As `TableContent.hash`; absent where they were only counted. */
  readonly hash?: string;
}

export interface SequenceValue {
  readonly name: string;
  /** Decimal. */
  readonly last: string | null;
}

/** All objects of one kind of a database, with their owners and rights. */
export interface Definitions {
  /** As {@link DEFINITION_KINDS}. */
  readonly kind: string;
  readonly count: number;
  /** Sum over all objects of the first eight bytes of the MD5 of name and definition; decimal. */
  readonly hash: string;
  /** The same of each object by its name, in hex; absent where they are too many to be recorded one by one. */
  readonly each?: Readonly<Record<string, string>>;
}

/** Small kinds first: they are recorded one by one before tables are. */
export const DEFINITION_KINDS = [
  ...['schema', 'event trigger', 'default privileges', 'policy', 'rule', 'trigger', 'view', 'function', 'type'],
  ...['sequence', 'table', 'index', 'constraint'],
] as const;

/** So many bytes of a backup's record are names of objects: a record must stay small, and its other parts need room. */
const MOST_NAMED_BYTES = 40 * 1024;

/** The same, with the objects named one by one only as far as a record has room for it. */
export function withinRecord(objects: RecordedObjects): RecordedObjects {
  let room = MOST_NAMED_BYTES;
  const databases = objects.databases.map((one) => ({
    ...one,
    definitions: one.definitions.map(({ each, ...whole }): Definitions => {
      // In the record each has a line of its own.
      const bytes = Buffer.byteLength(JSON.stringify(each ?? {}, null, 1)) + 12 * whole.count;
      if (each === undefined || bytes > room) return whole;
      room -= bytes;
      return { ...whole, each };
    }),
  }));
  return { ...objects, databases };
}

/** One object that is not as it was recorded. */
export interface ObjectDifference {
  /** Of the object, as a configuration names it to leave it out; null: many differ, and their names were not recorded. */
  readonly name: string | null;
  readonly text: string;
}

/** Names that were recorded and are not there. */
export function missingNames(
  kind: string,
  recorded: readonly string[],
  found: readonly string[],
): readonly ObjectDifference[] {
  const there = new Set(found);
  return recorded
    .filter((name) => !there.has(name))
    .map((name) => ({ name, text: `${kind} ${visible(name)} is missing` }));
}

/** How differences are told. */
interface DifferenceWords {
  readonly added: string;
  readonly changed: string;
  /** Of many objects of a kind, whose names nobody has. */
  readonly many: (kind: string, before: number, now: number) => string;
}

const SINCE_RECORD: DifferenceWords = {
  added: 'was not recorded',
  changed: 'has another definition, owner or rights than recorded',
  many: (kind, before, now) => `definitions of kind ${kind} differ (${before} were recorded, ${now} are there)`,
};

/** Of two states of a database. */
export const SINCE_BEFORE: DifferenceWords = {
  added: 'is new',
  changed: 'has another definition, owner or rights than before',
  many: (kind, before, now) => `definitions of kind ${kind} differ (${before} before, ${now} now)`,
};

/** Definitions that differ: each by its name where both sides have names, else how many of a kind there are. */
export function compareDefinitions(
  recorded: DatabaseObjects,
  found: DatabaseObjects,
  words: DifferenceWords = SINCE_RECORD,
): readonly ObjectDifference[] {
  const kinds = new Set([...recorded.definitions, ...found.definitions].map(({ kind }) => kind));
  return [...kinds].flatMap((kind) => {
    const [before, now] = [definitionsOf(recorded, kind), definitionsOf(found, kind)];
    if (now.hash === before.hash && now.count === before.count) return [];
    if (before.each === undefined || now.each === undefined)
      return [{ name: null, text: words.many(kind, before.count, now.count) }];
    return differentNames(kind, before.each, now.each, words);
  });
}

const definitionsOf = ({ definitions }: DatabaseObjects, kind: string): Definitions =>
  definitions.find((one) => one.kind === kind) ?? { kind, count: 0, hash: '0', each: {} };

function differentNames(
  kind: string,
  recorded: Readonly<Record<string, string>>,
  found: Readonly<Record<string, string>>,
  words: DifferenceWords,
): readonly ObjectDifference[] {
  const names = [...new Set([...Object.keys(recorded), ...Object.keys(found)])].sort();
  return names
    .filter((name) => recorded[name] !== found[name])
    .map((name) => ({ name, text: `${kind} ${visible(name)} ${differenceOf(recorded[name], found[name], words)}` }));
}

function differenceOf(recorded: string | undefined, found: string | undefined, words: DifferenceWords): string {
  if (found === undefined) return 'is missing';
  return recorded === undefined ? words.added : words.changed;
}

/** Sequences that are missing, or have given less than they had. */
export function compareSequences(recorded: DatabaseObjects, found: DatabaseObjects): readonly ObjectDifference[] {
  const now = new Map(found.sequences.map(({ name, last }) => [name, last]));
  return recorded.sequences.flatMap(({ name, last }) => {
    const value = now.get(name);
    const isRight = value !== undefined && (last === null || (value !== null && BigInt(value) >= BigInt(last)));
    if (isRight) return [];
    const text =
      value === undefined ? 'is missing' : `is at ${value ?? 'its start'}, and was at ${last ?? 'its start'}`;
    return [{ name, text: `sequence ${visible(name)} ${text}` }];
  });
}
