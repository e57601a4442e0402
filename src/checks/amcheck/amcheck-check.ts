import { visible } from '../../domain/text/text.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { checkStructure, type StructureNotChecked } from '../../postgres/content/check-structure.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, namedOf, ofRestored, passed, skipped, withEvidence } from '../outcomes.js';

const WHY: Readonly<Record<StructureNotChecked['notChecked'], { readonly reason: string; readonly hint: string }>> = {
  'not-installed': {
    reason: 'the extension amcheck is not installed in it, and a server that replays WAL can install none',
    hint: 'run CREATE EXTENSION amcheck in this database of the cluster: the next backup brings it along',
  },
  'not-available': {
    reason: 'the extension amcheck is not on this host',
    hint: "install contrib of PostgreSQL on this host (part of Debian's postgresql package)",
  },
  'event-triggers': {
    reason: 'the extension amcheck is not installed in it, and installing it would run its event triggers',
    hint: 'run CREATE EXTENSION amcheck in this database of the cluster: the next backup brings it along',
  },
  privilege: {
    reason: 'the role of the connection may not call amcheck',
    hint: 'let a superuser run GRANT EXECUTE on the functions of amcheck to the role of the connection',
  },
};

/** Checks indexes and tables of every restored database with amcheck. A database in which that cannot be had is named. */
export function runAmcheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, async (restored) => {
    const { databases } = await restored.tables();
    const [problems, left]: [string[], { database: string; why: StructureNotChecked['notChecked'] }[]] = [[], []];
    let [indexes, tables, structureOnly] = [0, 0, 0];
    for (const database of databases) {
      context.signal.throwIfAborted();
      const found = await withClient(context.connection, database, (client) => checkStructure(client, context.signal));
      if ('notChecked' in found) {
        left.push({ database, why: found.notChecked });
        continue;
      }
      indexes += found.indexes;
      tables += found.tables;
      structureOnly += found.structureOnly;
      problems.push(...found.problems.map((problem) => `${visible(database)}: ${problem}`));
    }
    const [first] = left;
    const notChecked = left.map(({ database, why }) => `${visible(database)} was not checked: ${WHY[why].reason}`);
    const hint = first === undefined ? undefined : WHY[first.why].hint;
    if (problems.length > 0)
      return withEvidence(
        context,
        failed(
          `amcheck found damage: ${namedOf(problems)}`,
          'a damaged index: REINDEX it in the cluster and take a new backup; a damaged table: compare it with production and with an older backup first',
        ),
        'amcheck.txt',
        [...problems, ...notChecked],
      );
    if (left.length > 0 && left.length === databases.length) return skipped(namedOf(notChecked), hint);
    const apart =
      structureOnly > 0
        ? `, ${structureOnly} of them without looking for missing entries (expressions or conditions)`
        : '';
    const outcome = passed(
      [`${indexes} indexes and ${tables} tables are consistent${apart}`, ...notChecked].join('; '),
    );
    return hint === undefined ? outcome : { ...outcome, hint };
  });
}
