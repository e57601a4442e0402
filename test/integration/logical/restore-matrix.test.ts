import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { refusedObjects } from '../../../src/engines/logical/archive/refused-objects.js';
import { readToc } from '../../../src/engines/logical/archive/toc.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { bound } from '../../helpers/bound.js';
import { dumpText, schemaText } from '../../helpers/dump-text.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { REFUSED, RESTORED } from '../../helpers/restore-matrix.js';
import type { MatrixRow } from '../../helpers/restore-matrix.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

/** PostgreSQL 15 comes with contrib and ICU, 18 without. */
const rowsFor = (rows: readonly MatrixRow[], version: number): readonly MatrixRow[] =>
  rows.filter(({ extensions, icu, from = 0 }) => version >= from && (version < 18 || (!extensions && !icu)));

/** As the last column of the table says it. */
const triedOn = (row: MatrixRow): string => [15, 18].filter((version) => rowsFor([row], version).length > 0).join(', ');

it.each([15, 18])(
  'U1: ordinary objects restore without a switch, and docs/logical.md names them (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({
      version,
      settings: { shared_preload_libraries: version < 18 ? 'pg_stat_statements' : '' },
    });
    await runQuery(server, 'postgres', 'CREATE ROLE app LOGIN');
    await runQuery(server, 'postgres', 'CREATE DATABASE app');
    await runQuery(server, 'app', 'CREATE SCHEMA app AUTHORIZATION app; GRANT CREATE ON DATABASE app TO app');
    for (const row of rowsFor(RESTORED, version)) await make(server, 'app', row);
    const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, { databases: ['app'] });
    const context = await ground.context('one');
    const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt: '2026-11-21T02:15:00Z' }));
    const restored = await logicalEngine.logical?.restoreDatabase(context, {
      ...(await bound(logicalEngine, context, backup)),
      intoDatabase: 'again',
      connection: context.cluster.connection,
    });
    expect(restored?.accepted).toEqual([]);
    expect(await schemaText(server, 'again')).toBe(await schemaText(server, 'app'));
    const doc = await readFile('docs/logical.md', 'utf8');
    for (const row of RESTORED) expect(doc).toContain(`| ${row.what} | yes | ${triedOn(row)} |`);
  },
);

it.each([15, 18])(
  'U1: what only a superuser may make is named before, and PostgreSQL refuses it (PostgreSQL %s)',
  async (version) => {
    const server = await startScratchCluster({ version });
    for (const sql of ['CREATE ROLE nobody LOGIN', 'CREATE DATABASE app', 'CREATE DATABASE own OWNER nobody'])
      await runQuery(server, 'postgres', sql);
    await runQuery(server, 'app', 'CREATE SCHEMA app');
    await runQuery(server, 'own', 'CREATE SCHEMA app AUTHORIZATION nobody');
    const rows = rowsFor(REFUSED, version);
    for (const row of rows) {
      const { sql, refusedAt = sql.length - 1, refused = /^$/ } = row;
      await make(server, 'own', { ...row, sql: sql.slice(0, refusedAt), bySuperuser: true });
      const attempt = runQuery({ ...addressOf(server), user: 'nobody' }, 'own', sql[refusedAt] ?? '');
      await expect(attempt).rejects.toThrow(refused);
      await make(server, 'app', { ...row, bySuperuser: true });
    }
    const path = join(await tempDir('dump'), 'app.dump');
    await dumpText(server, 'app', '--format=custom', `--file=${path}`);
    const found = refusedObjects(readToc(await readFile(path)));
    const doc = await readFile('docs/logical.md', 'utf8');
    for (const row of rows) {
      const { what, because = '' } = row;
      expect(found.map((one) => one.because)).toContain(because);
      expect(doc).toContain(`| ${what} | \`restore_as: superuser\` | ${triedOn(row)} |`);
    }
    // What makes them is refused, too, and nothing else is.
    const known = ['language internal', 'language c', ...rows.map(({ because }) => because)];
    expect(found.filter(({ because }) => !known.includes(because))).toEqual([]);
  },
);

const addressOf = ({ host, port, user, socketDir }: ScratchCluster) => ({ host, port, user, socketDir });

async function make(
  server: ScratchCluster,
  database: string,
  { sql, extensions = [], bySuperuser }: MatrixRow,
): Promise<void> {
  for (const extension of extensions)
    await runQuery(server, database, `CREATE EXTENSION IF NOT EXISTS "${extension}" CASCADE`);
  for (const statement of sql)
    await runQuery(server, database, `${bySuperuser === true ? '' : 'SET ROLE app; '}${statement}`).catch(
      (error: unknown) => {
        throw new Error(`${statement}: ${String(error)}`);
      },
    );
}
