import {
  compareDefinitions,
  compareSequences,
  type DatabaseObjects,
  missingNames,
  type ObjectDifference,
  type RecordedObjects,
} from '../../domain/backup/recorded-objects.js';
import { isRepriseError } from '../../domain/errors.js';
import { visible } from '../../domain/text/text.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { type CatalogueProblem, catalogueProblems } from '../../postgres/content/catalogue-problems.js';
import { readDatabaseObjects, roleNames, tablespaceNames } from '../../postgres/content/read-objects.js';
import type { CheckContext, CheckOutcome, RestoredService } from '../check.js';
import { failed, namedOf, ofRestored, passed, skipped, withEvidence } from '../outcomes.js';
import { matches } from '../table-patterns.js';
import type { ObjectsOptions } from './options.js';

/**
 * Compares roles, tablespaces, extensions, sequences without a column, and definitions with owners and rights, with those recorded with the
 * backup: definitions where no WAL was replayed beyond it, sequences of dumps alone. Whatever was recorded, no owner, grantee, tablespace
 * or extension that the catalogues name may be missing, and no index may be invalid.
 */
export function runObjectsCheck(context: CheckContext, options: ObjectsOptions): Promise<CheckOutcome> {
  return ofRestored(context, async (restored) => {
    const recorded = recordedBy(restored);
    const found = await readFound(context, (await restored.tables()).databases);
    const isCounted = ({ name }: { readonly name: string | null }): boolean =>
      name === null || !options.except.some((pattern) => matches(pattern, name));
    const differences = recorded.flatMap((one) => differencesOf(context, restored, one, found)).filter(isCounted);
    const problems = found.databases.flatMap(({ problems: all }) => all).filter(isCounted);
    const all = [...differences, ...problems].map(({ text }) => text);
    if (all.length > 0)
      return withEvidence(
        context,
        failed(namedOf(all), hintOf(differences, problems, context.recordedIsExact)),
        'objects.txt',
        all,
      );
    return outcomeOf(context, recorded, found);
  });
}

interface FoundDatabase {
  readonly database: string;
  /** Null: a transaction that nobody ends holds what has to be looked at. */
  readonly objects: DatabaseObjects | null;
  readonly problems: readonly (CatalogueProblem & ObjectDifference)[];
}

interface Found {
  readonly roles: readonly string[];
  readonly tablespaces: readonly string[];
  readonly databases: readonly FoundDatabase[];
}

/** What was recorded with each backup, by the names that databases have now, and the major version that it was recorded of. */
interface Recorded extends RecordedObjects {
  readonly versionNum: number | undefined;
}

function recordedBy({ method, backups }: RestoredService): readonly Recorded[] {
  return backups.flatMap(({ objects, database, server }): Recorded[] => {
    if (objects === undefined) return [];
    const databases =
      method === 'databases' && database !== undefined
        ? objects.databases.map((one) => ({ ...one, database }))
        : objects.databases;
    return [{ ...objects, databases, versionNum: server?.versionNum }];
  });
}

async function readFound({ connection, signal }: CheckContext, databases: readonly string[]): Promise<Found> {
  const shared = await withMaintenance(connection, async (client) => ({
    roles: await roleNames(client),
    tablespaces: await tablespaceNames(client),
  }));
  const found: FoundDatabase[] = [];
  for (const database of databases) {
    signal.throwIfAborted();
    const problems = await withClient(connection, database, catalogueProblems);
    const objects = await withClient(connection, database, (client) =>
      readDatabaseObjects(client, database, { hashes: false }),
    ).catch(unlessLocked);
    const named = problems.map((one) => ({ ...one, text: `${visible(database)}: ${visible(one.text)}` }));
    found.push({ database, objects, problems: named });
  }
  return { ...shared, databases: found };
}

/** `lock_not_available`. */
const LOCKED = '55P03';

function unlessLocked(error: unknown): null {
  if (isRepriseError(error) && error.details['sqlState'] === LOCKED) return null;
  throw error;
}

function differencesOf(
  { recordedIsExact }: CheckContext,
  { method }: RestoredService,
  recorded: Recorded,
  found: Found,
): readonly ObjectDifference[] {
  return [
    ...missingNames('role', recorded.roles, found.roles),
    // A dump is restored to where there is room.
    ...(method === 'databases' ? [] : missingNames('tablespace', recorded.tablespaces, found.tablespaces)),
    ...recorded.databases.flatMap((before) => {
      const now = found.databases.find(({ database }) => database === before.database)?.objects ?? null;
      if (now === null) return [];
      return [
        ...missingNames('extension', before.extensions, now.extensions),
        ...(recordedIsExact && method === 'databases' ? compareSequences(before, now) : []),
        ...(recordedIsExact ? compareDefinitions(before, now) : []),
      ].map(({ name, text }) => ({ name, text: `${visible(before.database)}: ${text}` }));
    }),
  ];
}

function hintOf(
  differences: readonly ObjectDifference[],
  problems: readonly CatalogueProblem[],
  isExact: boolean,
): string {
  const except = 'name it under except: of a check of type objects';
  if (differences.length > 0)
    return isExact
      ? `do not rely on this backup: compare what was restored with production (pg_dump --schema-only of both), and take a new one; what may differ: ${except}`
      : `where it was dropped since the backup, ${except}; else do not rely on this backup, and take a new one`;
  return problems.every(({ kind }) => kind === 'index')
    ? `no query uses such an index, and a unique one keeps no promise: REINDEX or DROP it in the cluster, and take a new backup; where it is to stay so, ${except}`
    : 'the catalogues are damaged: look for the same in production, do not rely on this backup, and verify an older one (reprise backup verify)';
}

function outcomeOf(
  { recordedIsExact }: CheckContext,
  recorded: readonly Recorded[],
  { databases }: Found,
): CheckOutcome {
  const whole = `owners, rights, tablespaces and indexes of ${databases.length} databases are whole`;
  if (recorded.length === 0)
    return skipped(
      `${whole}; no objects were recorded with the backup to compare them with`,
      'objects are recorded with each backup that Reprise makes from now on: drill a newer one',
    );
  const roles = new Set(recorded.flatMap((one) => one.roles)).size;
  const definitions = recorded.flatMap((one) => one.databases.flatMap((of) => of.definitions));
  const count = definitions.reduce((sum, one) => sum + one.count, 0);
  const locked = databases.filter(({ objects }) => objects === null).map(({ database }) => visible(database));
  return passed(
    [
      whole,
      recordedIsExact
        ? `${roles} roles and ${count} definitions are as recorded with the backup`
        : `${roles} roles are there; definitions were not compared, as WAL was replayed beyond the backup`,
      ...(locked.length === 0 ? [] : [`definitions of ${namedOf(locked)} are locked and were not compared`]),
    ].join('; '),
  );
}
