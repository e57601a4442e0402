import type { TableCount } from '../../domain/backup/backup.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { compareContent, nameOf } from '../../domain/drill/content.js';
import { failed, namedOf, ofRestored, passed, skipped, withEvidence } from '../outcomes.js';

const hasHash = (one: TableCount): one is TableCount & { readonly hash: string } => one.hash !== undefined;

/** Compares the rows of each table with the hash recorded with the backup, where one was: the same number of other rows is found. */
export function runContentHashCheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, async (restored) => {
    const recorded = context.recorded.filter(hasHash);
    if (recorded.length === 0)
      return skipped(
        'no hashes of rows were recorded with the backup',
        'a logical policy records them with options: { content_hashes: true }',
      );
    if (!context.recordedIsExact || restored.method !== 'databases')
      return skipped('hashes are those of the backup, and WAL was replayed beyond it');
    const { tables } = await restored.tables();
    const compared = compareContent(recorded, tables);
    const different = compared.filter(({ hashes }) => hashes.recorded !== hashes.found).map((one) => nameOf(one));
    if (different.length === 0) return passed(`${compared.length} tables hold the very rows that were dumped`);
    return withEvidence(
      context,
      failed(
        `${different.length} of ${compared.length} tables hold other rows than were dumped: ${namedOf(different)}`,
        'do not rely on this backup: verify it (reprise backup verify), and take a new one',
      ),
      'content-hash.txt',
      different,
    );
  });
}
