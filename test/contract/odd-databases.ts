import { expect } from '@jest/globals';
import pg from 'pg';
import { compareRestored } from '../../src/activities/backup/restore-test.js';
import type { Engine, EngineContext } from '../../src/engines/engine.js';
import { repairAllCollations } from '../../src/postgres/content/collation.js';
import { runQuery } from '../helpers/postgres.js';
import type { ServerAddress } from '../helpers/postgres.js';
import { recoverBeside } from '../helpers/recovered.js';
import { asBackup, onlyBackup } from './as-backup.js';

interface OddSource {
  readonly engine: Engine;
  readonly server: ServerAddress;
  context(operationId: string): Promise<EngineContext>;
}

/**
 * Backs a cluster up that has an invalid database and unlogged, temporary and foreign tables; restores it, counts it as a
 * restore test does, and promotes it. Leaves the cluster as it was, and returns the label of the backup.
 */
export async function expectOddDatabasesHarmless({ engine, server, context }: OddSource): Promise<string> {
  const configured = (await context('odd')).cluster.databases;
  const [database = 'postgres'] = configured;
  const odd = async (operationId: string): Promise<EngineContext> => {
    const found = await context(operationId);
    return { ...found, cluster: { ...found.cluster, databases: [...new Set([...configured, database]), 'cut off'] } };
  };
  const own = new pg.Client({ host: server.host, port: server.port, user: server.user, database });
  await own.connect();
  await runQuery(server, 'postgres', 'CREATE DATABASE "cut off"');
  try {
    await runQuery(server, 'postgres', `UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'cut off'`);
    await runQuery(
      server,
      database,
      `CREATE UNLOGGED TABLE public.cache AS SELECT generate_series(1, 7) i;
       CREATE FOREIGN DATA WRAPPER away; CREATE SERVER files FOREIGN DATA WRAPPER away;
       CREATE FOREIGN TABLE public.far (line text) SERVER files`,
    );
    await own.query('CREATE TEMP TABLE session_only (i int)');
    const ofBackup = await odd('odd');
    await engine.preflightBackup(ofBackup);
    const made = onlyBackup(await engine.backup(ofBackup, { type: 'full', startedAt: new Date().toISOString() }));
    expect(made.contents).toContainEqual(
      expect.objectContaining({ database, schema: 'public', table: 'cache', rows: 7, unlogged: true }),
    );
    expect(made.contents?.some((count) => count.database === 'cut off')).toBe(false);

    const ofRestore = await odd('odd restore');
    const outline = await engine.outlineRecovery(ofRestore, {
      ...{ target: { kind: 'end-of-backup' }, candidates: [asBackup(made)], oldDataDir: null },
      databases: configured,
    });
    expect(outline.warnings).toContainEqual(expect.stringContaining(`${database}: public.cache`));
    const recovered = await recoverBeside(ofRestore, outline, { engine });
    try {
      const connection = { ...ofRestore.cluster.connection, port: recovered.port };
      const verdict = await compareRestored(connection, made.contents ?? []);
      expect(verdict).toMatchObject({ ok: true, detail: expect.stringMatching(/1 unlogged.*1 foreign/) as unknown });
      expect(verdict.contents).toContainEqual(
        expect.objectContaining({ database, schema: 'public', table: 'cache', rows: 0, unlogged: true }),
      );
      await recovered.promote();
      const { skipped } = await repairAllCollations(connection);
      expect(skipped).toEqual([expect.stringContaining('"cut off" is invalid')]);
      return made.label;
    } finally {
      await recovered.remove();
    }
  } finally {
    await own.end();
    await runQuery(
      server,
      database,
      'DROP TABLE IF EXISTS public.cache; DROP FOREIGN DATA WRAPPER IF EXISTS away CASCADE',
    );
    await runQuery(server, 'postgres', 'DROP DATABASE "cut off"');
  }
}
