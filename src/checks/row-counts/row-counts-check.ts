import { visible } from '../../domain/text/text.js';
import { dropStatement } from '../../postgres/server/databases.js';
import type { CheckContext, CheckOutcome, RestoredService } from '../check.js';
import { type ComparedTable, compareContent, isSame, nameOf } from '../../domain/drill/content.js';
import { failed, namedOf, ofRestored, passed, skipped, withEvidence } from '../outcomes.js';
import { isNamed } from '../table-patterns.js';
import type { RowCountsOptions } from './options.js';

/**
 * Reads every table and compares its rows with those recorded with the backup: the same number in a dump; of a physical backup, which has no
 * snapshot to count in, no table may be missing, empty or less than half. A table that cannot be read has failed it.
 */
export function runRowCountsCheck(context: CheckContext, options: RowCountsOptions): Promise<CheckOutcome> {
  return ofRestored(context, async (restored) => {
    const { tables, databases, locked, problems, invalid } = await restored.tables();
    const compared = compareContent(context.recorded, tables).filter(
      (one) => !(one.unlogged && restored.method === 'data-directory') && !locked.some((held) => isSame(held, one)),
    );
    const exact = context.recordedIsExact && restored.method === 'databases';
    const differences = compared.flatMap((one) => difference(one, exact, options.except));
    const missing = missingDatabases(context, restored, [...databases, ...invalid], problems);
    const all = [...missing, ...problems, ...differences];
    const rows = tables.reduce((sum, one) => sum + one.rows, 0);
    const read = `${tables.length} tables with ${rows} rows were read`;
    if (all.length > 0)
      return withEvidence(
        context,
        failed(
          `${read}; ${namedOf(all)}`,
          all.length === invalid.length ? invalidHint(invalid) : hintOf(problems.length + missing.length > 0, exact),
        ),
        'row-counts.txt',
        all,
      );
    if (context.recorded.length === 0)
      return skipped(
        `${read}; no counts were recorded with the backup to compare them with`,
        'counts are recorded with each backup that Reprise makes',
      );
    return passed(
      `${read}; ${compared.length} are ${exact ? 'as recorded with the backup' : 'there and hold at least half of what was recorded'}`,
    );
  });
}

/** Databases with recorded tables, or of the backups, that the server has not. */
function missingDatabases(
  { recorded }: CheckContext,
  { backups, method }: RestoredService,
  databases: readonly string[],
  problems: readonly string[],
): readonly string[] {
  const expected = new Set([
    ...recorded.map(({ database }) => database),
    ...(method === 'databases' ? backups.flatMap(({ database }) => database ?? []) : []),
  ]);
  return [...expected]
    .filter((name) => !databases.includes(name))
    .map((name) => `database ${JSON.stringify(name)} is not there`)
    .filter((text) => !problems.includes(text));
}

function difference(one: ComparedTable, exact: boolean, except: readonly string[]): readonly string[] {
  const { recorded, found } = one;
  if (!exact && isNamed(except, one)) return [];
  if (found === null) return [`${nameOf(one)} is not there (${recorded} rows were recorded)`];
  const isRight = exact ? found === recorded : found * 2 >= recorded;
  return isRight ? [] : [`${nameOf(one)} has ${found} rows, ${recorded} were recorded`];
}

/** Where nothing else is wrong. */
function invalidHint(invalid: readonly string[]): string {
  const statements = invalid.map((name) => visible(dropStatement(name))).join('; ');
  return `nobody can bring back what such a database held: where it was to go, end it in the cluster (${statements}), and take a new backup; else recover it from an older one`;
}

function hintOf(unreadable: boolean, exact: boolean): string {
  if (unreadable) return 'do not rely on this backup: verify it (reprise backup verify), and take a new one';
  return exact
    ? 'the restore lost or added rows: do not rely on this backup, and take a new one'
    : 'where applications emptied or dropped the table since the backup, name it under except: of a check of type row-counts; else do not rely on this backup';
}
