import { type CanaryBound, newestCanary } from '../../domain/drill/canary.js';
import { durationInWords } from '../../domain/text/text.js';
import { readCanary } from '../../postgres/content/canary.js';
import type { CheckContext, CheckOutcome, RestoredService } from '../check.js';
import { failed, ofRestored, passed, skipped } from '../outcomes.js';

/**
 * The newest row of the canary that was written before the end of the restore has to be there as it was written. How old it is bounds what a
 * loss at that instant would have cost.
 */
export function runCanaryCheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, async (restored) => {
    const { canary, connection } = context;
    if (canary === undefined)
      return skipped(
        'no canary is written',
        'configure one: canary: { database: NAME } of the cluster, see reprise doctor',
      );
    const { database } = canary;
    if (restored.databases !== null && !restored.databases.includes(database))
      return skipped(`the canary is in database ${database}, which is not part of this restore`);
    const end = endOf(restored, database);
    if (end === null) return skipped('it is not known where the restore ended');
    const expected = newestCanary(await canary.written(new Date(end.instant)), end.bound);
    if (expected === null) return skipped('no canary was written in the two days before the end of this restore');
    const rows = await readCanary(connection, database);
    const found = rows?.find(({ n }) => n === expected.n);
    const named = `canary ${expected.n}, written ${expected.at},`;
    if (found === undefined) {
      const newest =
        rows === null
          ? 'the table reprise.canary is missing'
          : `the newest one is ${rows.reduce((most, { n }) => Math.max(most, n), 0)}`;
      return failed(`${named} did not come back: ${newest}`, HINT);
    }
    if (found.token !== expected.token || found.at !== expected.at) return failed(`${named} came back changed`, HINT);
    const age = Math.max(0, (Date.parse(end.instant) - Date.parse(expected.at)) / 1000);
    return passed(
      `${named} came back as it was, ${durationInWords(Math.round(age))} before the end of the restore; one is written every ${durationInWords(canary.everySeconds)}`,
    );
  });
}

const HINT =
  'the restore holds less than was written before its end: look for missing WAL (reprise check), and for an older backup in the place of this one (reprise backup verify)';

/** Up to which position or instant rows must be there, and about when that was. */
function endOf(
  { method, backups, reached, target }: RestoredService,
  database: string,
): { readonly bound: CanaryBound; readonly instant: string } | null {
  if (method === 'databases') {
    const at = backups.find((one) => one.database === database)?.startedAt;
    return at === undefined ? null : { bound: { at }, instant: at };
  }
  if (reached?.lastLsn == null) return null;
  const instant = target.kind === 'time' ? target.time : (reached.lastCommitAt ?? backups[0]?.finishedAt ?? null);
  return instant === null ? null : { bound: { lsn: reached.lastLsn }, instant };
}
