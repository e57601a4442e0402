import { visible } from '../../domain/text/text.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, namedOf, ofRestored, passed, skipped, withEvidence } from '../outcomes.js';

/** Dumps what was restored, restores that dump in a server of its own, and compares: text in a wrong encoding is restored once, and never again. */
export function runDumpAgainCheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, async () => {
    if (context.drill === undefined) return skipped('only drills dump again what was restored');
    const all = await context.drill.dumpAgain();
    const problems = all.flatMap(({ database, problem }) =>
      problem === null ? [] : [`${visible(database)}: ${problem}`],
    );
    const tables = all.reduce((sum, one) => sum + (one.tables ?? 0), 0);
    if (problems.length === 0)
      return passed(`${all.length} databases were dumped and restored once more; ${tables} tables are the same`);
    return withEvidence(
      context,
      failed(
        namedOf(problems),
        'a dump of what was restored cannot be restored whole: look in production for rows that break a constraint, such as a foreign key that was switched off, and for text that is not in the encoding of the database',
      ),
      'dump-again.txt',
      problems,
    );
  });
}
