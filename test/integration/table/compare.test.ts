import { beforeAll, expect, test } from '@jest/globals';
import { readFile, stat } from 'node:fs/promises';
import type { ComparedRows } from '../../../src/domain/table/compare.js';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import { withTableSide } from '../../../src/postgres/compare/table-side.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { answer } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

let site: Site;
let dump: string;
let before: string;
let [rows, gone, lost] = [0, 0, 0];

interface Compared {
  workflowId: string;
  key: string[];
  schema: unknown[];
  missing: number;
  changedColumns: Record<string, number>;
  changed: number;
  extra: number;
  same: number;
  samples: { kind: string; key: string[]; columns: string[] }[];
  breakdown: unknown[];
  backups: string[];
  seconds: number;
  file: { host: string; path: string; until: string; shown: boolean };
}

const TABLE = 'metier.demandes_rdv';

beforeAll(async () => {
  // It may read production and the copy of a physical backup, and is not there in the copy of a dump.
  site = await Site.create({ clusterYaml: '    checks_role: reader\n' });
  await site.query('CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader');
  await site.commit(400);
  // Whoever restores this table needs rows of another one, which a dump has before it.
  await site.query(
    `CREATE FUNCTION metier.there(bigint) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM ${TABLE} WHERE id = $1)';
     CREATE TABLE metier."zz Checked" (id bigint PRIMARY KEY CHECK (metier.there(id)));
     CREATE INDEX ON metier."zz Checked" ((id + 0)); INSERT INTO metier."zz Checked" SELECT id FROM ${TABLE} WHERE id <= 10`,
  );
  await site.startWorker();
  const [made] = (await site.backUp('dump')).backups;
  dump = made?.id ?? '';
  await site.backUp('physical');
  rows = Number(await value(`SELECT count(*)::text AS value FROM ${TABLE}`));
  gone = Number(await value(`SELECT count(*)::text AS value FROM ${TABLE} WHERE id % 100 = 1`));
  lost = Number(await value(`SELECT count(*)::text AS value FROM ${TABLE} WHERE id % 100 = 2`));
  await site.query(`INSERT INTO ${TABLE} (commune, pris_le, motif) VALUES ('00001', now(), 'between')`);
  before = await value(
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS value`,
  );
  await site.query(
    `DELETE FROM ${TABLE} WHERE id % 100 = 1 AND motif IS DISTINCT FROM 'between'; UPDATE ${TABLE} SET motif = 'lost' WHERE id % 100 = 2 AND motif IS DISTINCT FROM 'between'; UPDATE ${TABLE} SET pris_le = '2001-02-03 04:05:06+00' WHERE id = 3`,
  );
  await site.commit(3);
  await site.archiveSegment();
});

const value = async (sql: string): Promise<string> => {
  const { rows: found } = await site.query(sql);
  return (found[0] as { value: string }).value;
};

async function compare(...options: string[]): Promise<Compared> {
  const done = await site.cli('table', 'compare', 'mairie', 'mairie', TABLE, ...options, '--json');
  expect([done.code, done.stderr]).toEqual([0, expect.anything()]);
  return JSON.parse(done.stdout) as Compared;
}

test('T1: a table of a dump is compared with production: counts, rows on the host alone, and nothing of the copy is left', async () => {
  const found = await compare('--backup', dump, '--by', 'motif', '--samples', '3');
  expect(found).toMatchObject({ key: ['id'], schema: [], missing: gone, changed: lost + 1, extra: 4, backups: [dump] });
  expect(found.same).toBe(rows - gone - lost - 1);
  expect(found.samples).toHaveLength(3);
  expect(found.breakdown).toContainEqual(expect.objectContaining({ value: 'between', extra: 1 }));
  // The file is its owner's alone, and has what the history must not have.
  expect((await stat(found.file.path)).mode & 0o777).toBe(0o600);
  const kept = JSON.parse(await readFile(found.file.path, 'utf8')) as ComparedRows;
  expect(kept.samples).toEqual(found.samples);
  const history = JSON.stringify(await site.session.client.workflow.getHandle(found.workflowId).fetchHistory());
  expect(history).not.toContain('2001-02-03');
  // Payloads are in base64, in one of three positions.
  const hidden = [0, 1, 2].map((at) => Buffer.from('2001-02-03 04:05'.slice(at)).toString('base64').slice(0, 16));
  for (const text of hidden) expect(history).not.toContain(text);
  const again = await compare('--backup', dump, '--where-range', 'id=2..4', '--key', 'id');
  expect([again.missing, again.changed, again.extra, again.same]).toEqual([0, 2, 0, 0]);
  expect(
    await site.query(
      'SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name ~ $$reprise$$ AND state = $$idle in transaction$$',
    ),
  ).toMatchObject({ rows: [{ n: 0 }] });
});

test('T1: where the rows of one table cannot be restored without those of another, all of the dump are', async () => {
  const named = ['table', 'compare', 'mairie', 'mairie', 'metier."zz Checked"', '--backup', dump, '--json'];
  const done = await site.cli(...named);
  expect([done.code, done.code === 0 ? JSON.parse(done.stdout) : done.stderr]).toMatchObject([
    0,
    { missing: 0, changed: 0, extra: 0, same: 10 },
  ]);
  const { plan } = JSON.parse((await site.cli(...named, '--dry-run')).stdout) as { plan: { warnings: string[] } };
  expect(plan.warnings).toContain('of the dump only rows of metier."zz Checked" are restored');
});

test('T2: a table is compared with what it was at an instant, from a physical backup and WAL', async () => {
  const found = await compare('--to', before, '--policy', 'physical');
  expect(found).toMatchObject({ key: ['id'], missing: gone, changed: lost + 1, extra: 3 });
  expect(found.changedColumns).toEqual({ motif: lost, pris_le: 1 });
  // Both servers hashed, as a role that is no superuser; nothing was copied out whole.
  const log = await readFile(`${site.places.dataDir}.log`, 'utf8');
  expect(log).toMatch(/COPY \(SELECT .*hashtextextended/);
  expect(log).not.toMatch(/demandes_rdv \("id", "/);
  const text = await site.cli('table', 'compare', 'mairie', 'mairie', TABLE, '--to', before, '--policy', 'physical');
  expect(text.stdout).toMatch(new RegExp(String.raw`missing +${gone} \(in the backup, not in production\)`));
});

test('F44: a superuser has a server hash a table where nothing of its owner is planned with it and nobody can change that, in a temporary instance', async () => {
  const named = ['--to', before, '--policy', 'physical'];
  const opened = await answer<{ id: string; connection: string | null }>(site, 'explore', 'start', 'mairie', ...named);
  const socket = /host=(\S+)/.exec(opened.connection ?? '')?.[1] ?? '';
  const { host, user } = site.server;
  const plans = (connection: Pick<ConnectionConfig, 'host' | 'port'>, table: string): Promise<boolean> =>
    withClient({ ...connection, user, maintenanceDatabase: 'postgres' }, 'mairie', (client) =>
      withTableSide(client, { schema: 'metier', table }, 'here', ({ plansQueries }) => Promise.resolve(plansQueries)),
    );
  const port = Number(/port=(\d+)/.exec(opened.connection ?? '')?.[1]);
  expect(await plans({ host: socket, port }, 'demandes_rdv')).toBe(true);
  expect(await plans({ host: socket, port }, 'zz Checked')).toBe(false);
  // In production its owner could make an index with an expression just then.
  expect(await plans({ host, port: site.server.port }, 'demandes_rdv')).toBe(false);
  await answer(site, 'explore', 'drop', opened.id);
});

test('T1: what cannot be compared is refused with what to type', async () => {
  const refused = async (...argv: string[]): Promise<[number, string]> => {
    const { code, stderr } = await site.cli('table', 'compare', ...argv, '--json');
    const { error } = JSON.parse(stderr.trim().split('\n').at(-1) ?? '{}') as { error: { code: string } };
    return [code, error.code];
  };
  expect(await refused('mairie', 'mairie', TABLE)).toEqual([2, 'usage']);
  expect(await refused('mairie', 'mairie', 'demandes_rdv', '--backup', dump)).toEqual([2, 'usage']);
  expect(await refused('mairie', 'mairie', 'metier.nothing', '--backup', dump)).toEqual([6, 'not-found']);
  const plan = await site.cli('table', 'compare', 'mairie', 'mairie', TABLE, '--backup', dump, '--dry-run', '--json');
  expect(JSON.parse(plan.stdout)).toMatchObject({ dryRun: true, plan: { restore: { backups: [{ id: dump }] } } });
});
