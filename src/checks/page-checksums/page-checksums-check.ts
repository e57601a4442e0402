import { withMaintenance } from '../../postgres/connection/with-client.js';
import { readPages } from '../../postgres/server/read-pages.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, namedOf, ofRestored, passed, skipped, withEvidence } from '../outcomes.js';

/** Reads every page of the restored files and compares its checksum, as `pg_checksums --check` does of a server that is stopped. */
export function runPageChecksumsCheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, async ({ dataDir, method }) => {
    if (method === 'databases') return skipped('a dump brings no pages along: those that hold it now are new');
    if (dataDir === null) return skipped('the restored files are not on this host');
    const { rows } = await withMaintenance(context.connection, (client) =>
      client.query<{ on: string }>(`SELECT pg_catalog.current_setting('data_checksums') AS "on"`),
    );
    if (rows[0]?.on !== 'on')
      return skipped(
        'the restored server has no page checksums',
        'switch them on in the cluster while it is stopped: pg_checksums --enable',
      );
    const { files, pages, problems } = await readPages(dataDir, context.signal);
    if (problems.length === 0) return passed(`${pages} pages in ${files} files have their checksums`);
    return withEvidence(
      context,
      failed(
        `damaged pages: ${namedOf(problems)}`,
        'compare with the pages of production (pg_amcheck, pg_checksums --check of a standby), and take a new full backup',
      ),
      'page-checksums.txt',
      problems,
    );
  });
}
