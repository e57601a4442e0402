import { beforeAll, describe, expect, it } from '@jest/globals';
import type { MigrationTime } from '../../../src/domain/incident/migration.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, reaches, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let before: number;
let deleted: number;
const NAME = 'metier.demandes_rdv';
const start = ['incident', 'start', 'bad-migration', '--cluster', 'mairie', '--database', 'mairie'];

const count = async (): Promise<number> =>
  Number(((await site.query(`SELECT count(*) FROM ${NAME}`)).rows[0] as { count: string }).count);

async function approve(workflowId: string): Promise<void> {
  const { plan } = await reaches(site, workflowId, 'waiting-approval');
  await answer(site, 'approve', workflowId, '--plan', plan ?? '', '--by', 'dba', '--reason', 'seen');
}

const reportOf = async (id: string): Promise<string> =>
  (await answer<{ markdown: string }>(site, 'incident', 'report', id)).markdown;

beforeAll(async () => {
  site = await Site.create();
  await site.configure({});
  await site.query(
    `CREATE ROLE clerk LOGIN; ALTER SCHEMA metier OWNER TO clerk; ALTER TABLE ${NAME} OWNER TO clerk;
     CREATE TABLE public.django_migrations (id int, app text, name text, applied timestamptz)`,
  );
  await site.startWorker();
  await site.backUp('physical');
  await site.commit(10);
  before = await count();
  // It was half an hour ago by its tool, and the state before it is that of now: the clock of a test cannot wait.
  await site.closeSegment();
});

describe('K5: a migration went wrong', () => {
  it('K5: nobody knows when it was: refused with a hint; the migration table says it, also in a dry run that opens nothing', async () => {
    expect(await refusal(site, ...start, '--dry-run')).toMatchObject({ code: 'not-found' });
    expect(await refusal(site, ...start, '--hold')).toMatchObject({ exit: 2, code: 'usage' });
    await site.query(`INSERT INTO public.django_migrations VALUES (1, 'metier', '0041_old', now() - interval '2 days'),
      (2, 'metier', '0042_drop', now()), (3, 'metier', '0043_purge', now())`);
    const { time } = await answer<{ time: MigrationTime }>(site, ...start, '--dry-run');
    expect(time).toMatchObject({ source: 'table', recordedIn: 'public.django_migrations' });
    expect(time.migrations.map(({ name }) => name).toSorted()).toEqual(['0042_drop', '0043_purge']);
    expect(await answer(site, 'incident', 'list')).toMatchObject({ incidents: [] });
  });

  it('K5: a tool that writes down when a migration began, or how long it took, is believed, also where it took longer than minutes', async () => {
    await site.query('DELETE FROM public.django_migrations');
    const began = `clock_timestamp() - interval '20 minutes'`;
    const tools = {
      flyway_schema_history: `script text, installed_on timestamp, execution_time int; 'V1', localtimestamp, 1200000`,
      databasechangelog: `id text, dateexecuted timestamp, deployment_id text; '1', localtimestamp, right(floor(extract(epoch FROM ${began}) * 1000)::text, 10)`,
      _prisma_migrations: `migration_name text, started_at timestamptz; '1', ${began}`,
    };
    for (const [table, text] of Object.entries(tools)) {
      const [columns, values] = text.split('; ');
      await site.query(
        `CREATE TABLE public.${table} (${columns}); INSERT INTO public.${table} VALUES (${values}); GRANT SELECT ON public.${table} TO PUBLIC`,
      );
      const { time } = await answer<{ time: MigrationTime }>(site, ...start, '--dry-run');
      await site.query(`DROP TABLE public.${table}`);
      expect(time).toMatchObject({ begun: 'recorded', recordedIn: `public.${table}` });
      const ago = (Date.now() - Date.parse(time.before)) / 60_000;
      expect(ago).toBeGreaterThan(20);
      expect(ago).toBeLessThan(25);
    }
  });

  it('K5: rows and definitions before and after are told; a table is repaired, then the whole database is as before', async () => {
    const { at } = (
      await site.query(
        'SELECT to_char(clock_timestamp() AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') AS at',
      )
    ).rows[0] as { at: string };
    await site.commit(1);
    const damage = await site.query(
      `WITH gone AS (DELETE FROM ${NAME} WHERE id % 2 = 0 RETURNING 1) SELECT count(*)::int AS count FROM gone`,
    );
    deleted = (damage.rows[0] as { count: number }).count;
    await site.query('ALTER TABLE metier.communes ADD COLUMN wrong int; CREATE TABLE metier.leftover (id int)');
    await site.query('INSERT INTO metier.leftover VALUES (1)');
    await site.closeSegment();

    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      ...[...start, '--at', at, '--cause', 'the purge had no date', '--by', 'ops', '--detach'],
    );
    const id = workflowId.split('/').at(-1) ?? '';
    await site.waitFor(
      async () => (await answer<{ waitingFor: string | null }>(site, 'status', workflowId)).waitingFor !== null,
      'the states are compared',
    );
    await answer(site, 'incident', 'confirm', id, '--by', 'dba', '--reason', 'half of the appointments are gone');
    expect(
      await refusal(site, 'recover', 'mairie', '--policy', 'physical', '--to', at, '--incident', id, '--detach'),
    ).toMatchObject({ code: 'usage' });

    const repair = await answer<{ workflowId: string }>(
      site,
      ...['table', 'repair', 'mairie', 'mairie', NAME, '--to', at, '--strategy', 'insert-missing'],
      ...['--incident', id, '--by', 'ops', '--detach'],
    );
    await approve(repair.workflowId);
    await reaches(site, workflowId, 'paused');
    expect(await count()).toBe(before + 1);

    const recovery = await answer<{ workflowId: string }>(
      site,
      ...['recover', 'mairie', '--database', 'mairie', '--policy', 'physical', '--to', at, '--incident', id],
      ...['--by', 'ops', '--detach'],
    );
    expect(recovery.workflowId).toBe(`recover/mairie/${id}-2`);
    await approve(recovery.workflowId);
    await reaches(site, workflowId, 'completed');
    expect(await count()).toBe(before);
    expect((await site.query(`SELECT to_regclass('metier.leftover')::text AS left`)).rows).toEqual([{ left: null }]);

    const markdown = await reportOf(id);
    expect(markdown).toContain('the purge had no date');
    expect(markdown).toContain(`| \`${NAME}\` | ${before} | ${before + 1 - deleted} |`);
    expect(markdown).toContain('| `metier.leftover` | not there | 1 |');
    expect(markdown).toContain('table metier.communes has another definition');
    expect(markdown).toContain('table metier.leftover is new');
    expect(markdown).toContain('The database was recovered to');
    const { html } = await answer<{ html: string }>(site, 'incident', 'report', id, '--html');
    expect(html).toMatch(/^<!doctype html>[^]*<h1>Incident /i);
    expect(await answer(site, 'incident', 'list')).toMatchObject({
      incidents: [{ scenario: 'bad-migration', state: 'closed' }],
    });
  });
});
