import pg from 'pg';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';

/** Stands in every row of the table `a`. */
export const CANARY = 'Madame Canari, 12 rue des Lilas';

/** A cluster whose database `mairie` takes as long to restore as somebody `holds up the restore`. */
export async function startPatientSource(): Promise<ScratchCluster> {
  const source = await startScratchCluster();
  await runQuery(source, 'postgres', "CREATE ROLE rdv LOGIN PASSWORD 'hash me'");
  await runQuery(source, 'postgres', 'CREATE DATABASE mairie OWNER rdv');
  // More than age and the pipe hold back before the first block is written, in the table that is dumped first.
  await runQuery(
    source,
    'mairie',
    `CREATE TABLE a (x text); INSERT INTO a SELECT '${CANARY} ' || n FROM generate_series(1, 20000) n;
     CREATE TABLE b (x int); INSERT INTO b VALUES (1), (2);
     CREATE FUNCTION patient(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
       WHILE EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = 'holds up the restore') LOOP
         PERFORM pg_catalog.pg_sleep(0.05); PERFORM pg_catalog.pg_stat_clear_snapshot();
       END LOOP; RETURN x; END $$;
     CREATE INDEX ON b (public.patient(x))`,
  );
  return source;
}

/** Runs a statement in a session that stays open until it is released. */
export async function hold(
  { host, port, user }: ScratchCluster,
  sql: string,
  name = 'holds',
): Promise<() => Promise<void>> {
  const client = new pg.Client({ host, port, user, database: 'mairie', application_name: name });
  await client.connect();
  await client.query(sql);
  let released: Promise<void> | undefined;
  return () => (released ??= client.end());
}

export async function databasesOf(source: ScratchCluster): Promise<string[]> {
  const { rows } = await runQuery(
    source,
    'postgres',
    'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1',
  );
  return (rows as { datname: string }[]).map(({ datname }) => datname);
}
