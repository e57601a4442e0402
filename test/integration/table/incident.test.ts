import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Finding } from '../../../src/domain/findings.js';
import type { IncidentView } from '../../../src/domain/operation/inspections.js';
import type { TableSurvey } from '../../../src/domain/table/incident.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, reaches, refusal, toldOfAll } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let xid: string;
let before: number;
let deleted: number;
const NAME = 'metier.demandes_rdv';
const named = ['mairie', 'mairie', NAME] as const;
const start = ['incident', 'start', 'table-corruption', '--cluster', 'mairie', '--database', 'mairie', '--table', NAME];

const count = async (): Promise<number> =>
  Number(((await site.query(`SELECT count(*) FROM ${NAME}`)).rows[0] as { count: string }).count);
/** What a citizen meets who books. */
const booked = (): Promise<string> =>
  site
    .query(`BEGIN; INSERT INTO ${NAME} (commune, pris_le, motif) VALUES ('00001', now(), 'x'); ROLLBACK`)
    .then(() => 'booked')
    .catch((error: unknown) => (error as Error).message);

/** The child of an incident, once its plan waits, and approved by its digest. */
async function approve(workflowId: string): Promise<void> {
  const { plan } = await reaches(site, workflowId, 'waiting-approval');
  await answer(site, 'approve', workflowId, '--plan', plan ?? '', '--by', 'dba', '--reason', 'seen');
}

beforeAll(async () => {
  site = await Site.create();
  await site.configure({
    clusterYaml: `    tables:\n      ${NAME}: { database: mairie, freeze: { by: trigger } }\n`,
  });
  await site.query(
    'CREATE ROLE clerk LOGIN; ALTER SCHEMA metier OWNER TO clerk; ALTER TABLE metier.demandes_rdv OWNER TO clerk',
  );
  await site.startWorker();
  await site.backUp('physical');
  await site.commit(10);
  before = await count();
  const damage = await site.query(
    `WITH gone AS (DELETE FROM ${NAME} WHERE id % 2 = 0 RETURNING 1) SELECT pg_current_xact_id()::text AS xid, count(*) FROM gone`,
  );
  const row = damage.rows[0] as { xid: string; count: string };
  xid = row.xid;
  deleted = Number(row.count);
  await site.commit(5);
  await site.closeSegment();
});

describe('T3, T4, T5, T7, T8: an incident of a table, by the command line alone', () => {
  it('T3: a dry run shows the rows and opens nothing; what names no table, or another scenario’s options, is refused', async () => {
    const { survey } = await answer<{ survey: TableSurvey }>(site, ...start, '--dry-run');
    expect(survey).toMatchObject({ rowsNow: before - deleted + 5, blocks: true, problems: [] });
    expect(survey.history.at(-1)?.rows).toBeGreaterThan(deleted);
    expect(await answer(site, 'incident', 'list')).toMatchObject({ incidents: [] });
    expect(await refusal(site, ...start.slice(0, 7))).toMatchObject({ exit: 2, code: 'usage' });
    expect(
      await refusal(site, 'incident', 'start', 'instance-loss', '--cluster', 'mairie', '--table', NAME),
    ).toMatchObject({ exit: 2, code: 'usage' });
  });

  it('T3: a table or a database that is nowhere is refused with the name that was meant, and no incident is opened', async () => {
    const other = (name: string): string[] => [...start.slice(0, -1), name, '--detach'];
    expect(await refusal(site, ...other('metier.demandes_rvd'))).toMatchObject({
      ...{ exit: 6, code: 'not-found', hint: expect.stringContaining(NAME) },
      message: expect.stringContaining('neither in production nor in a backup'),
    });
    const elsewhere = start.map((word, index) => (index === 6 ? 'mairi' : word));
    const migration = ['incident', 'start', 'bad-migration', '--cluster', 'mairie', '--database', 'mairi'];
    for (const argv of [elsewhere, migration])
      expect(await refusal(site, ...argv, '--detach')).toMatchObject({
        ...{ exit: 6, code: 'not-found', hint: expect.stringContaining('mairie') },
      });
    // It was dropped, and a backup has it.
    await site.query('ALTER TABLE metier.communes RENAME TO villes');
    const { survey } = await answer<{ survey: TableSurvey }>(
      site,
      ...[...start.slice(0, -1), 'metier.communes'],
      '--dry-run',
    );
    await site.query('ALTER TABLE metier.villes RENAME TO communes');
    expect(survey.problems.join()).toContain('there is no table metier.communes');
    expect(await answer(site, 'incident', 'list')).toMatchObject({ incidents: [] });
  });

  it('T8: found, confirmed, frozen, repaired, open again: the document names cause, transaction, times and rows', async () => {
    const { workflowId } = await answer<{ workflowId: string }>(
      site,
      ...[...start, '--found-at', '2026-11-21T08:00:00Z', '--by', 'ops', '--detach'],
    );
    const id = workflowId.split('/').at(-1) ?? '';
    await site.waitFor(
      async () =>
        (await answer<IncidentView>(site, 'incident', 'show', id)).records.some(
          (record) => record.kind === 'journal' && record.step === 'transactions',
        ),
      'the WAL is read',
    );
    await answer(site, 'incident', 'confirm', id, '--by', 'dba', '--reason', 'half of the appointments are gone');
    const hold = `table-freeze/mairie/${id}-hold`;
    await reaches(site, hold, 'waiting-approval');
    // Whoever approves it without its digest sees first what it is.
    const shown = await site.cli('approve', hold, '--by', 'dba', '--reason', 'seen');
    expect(shown).toMatchObject({
      code: 9,
      stderr: expect.stringMatching(/Freeze metier\.demandes_rdv.*writes blocked/s),
    });
    await approve(hold);
    await site.waitFor(async () => (await booked()) !== 'booked', 'writes are blocked');
    // At 80 columns: what to type next, and no command for what is approved already.
    const page = async (...argv: string[]): Promise<string> =>
      (await site.cliAt(80, ...argv)).stdout.replaceAll(/\s+/g, ' ');
    // The block is committed before the incident hears of it.
    await site.waitFor(
      async () => (await page('status', workflowId)).includes(`reprise table release ${hold}`),
      'status says how to open writes again',
    );
    expect(await page('status', workflowId)).not.toContain(`reprise approve ${hold}`);
    expect(await page('incident', 'show', id)).toMatch(
      new RegExp(`discovered: 2026-11-21T08[^]*what to type next, is shown by: reprise status ${workflowId}`),
    );
    await answer(site, 'incident', 'note', id, '--cause', 'a purge with the wrong date', '--by', 'dba');

    expect(
      await refusal(
        site,
        ...['table', 'repair', 'mairie', 'mairie', 'metier.communes', '--xid', xid, '--incident', id],
      ),
    ).toMatchObject({ code: 'usage' });
    const repair = await answer<{ workflowId: string }>(
      site,
      ...['table', 'repair', ...named, '--xid', xid, '--incident', id, '--by', 'ops', '--detach'],
    );
    expect(repair.workflowId).toBe(`table-repair/mairie/${id}-1`);
    await reaches(site, repair.workflowId, 'waiting-approval');
    await answer(site, 'reject', repair.workflowId, '--by', 'dba', '--reason', 'not this one');
    await reaches(site, workflowId, 'paused');
    const rejected = await page('status', repair.workflowId);
    expect(rejected).toContain('Rejected by dba: not this one');
    expect(rejected).toContain(`its incident, and what that waits for: reprise status ${workflowId}`);
    await answer(site, 'continue', workflowId, '--by', 'dba', '--reason', 'it was right');
    await approve(`table-repair/mairie/${id}-2`);
    await reaches(site, workflowId, 'completed');

    expect(await count()).toBe(before + 5);
    expect(await booked()).toBe('booked');
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', id);
    expect(markdown).toContain('a purge with the wrong date');
    expect(markdown).toContain(`\`${xid}\`, committed at `);
    expect(markdown).toContain(`| lost by the damage, and put back | ${deleted} |`);
    expect(markdown).toContain('| discovered | 2026-11-21T08:00:00Z |');
    for (const what of ['damage committed', 'confirmed', 'writes blocked', 'repair approved', 'writes open again'])
      expect(markdown).toContain(`| ${what} | 20`);
    expect(markdown).toContain('reprise backup run mairie');
    const { html } = await answer<{ html: string }>(site, 'incident', 'report', id, '--html');
    expect(html).toMatch(/^<!doctype html>[^]*<h1>Incident /i);
    expect(await answer(site, 'incident', 'list')).toMatchObject({
      incidents: [{ scenario: 'table-corruption', state: 'closed' }],
    });
    expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });
  });

  it('T4: a terminated incident leaves its block of writes to people: status and check say so, and nothing opens it by itself', async () => {
    const { workflowId } = await answer<{ workflowId: string }>(site, ...start, '--hold', '--by', 'ops', '--detach');
    const hold = `table-freeze/mairie/${workflowId.split('/').at(-1)}-hold`;
    await approve(hold);
    await site.waitFor(async () => (await booked()) !== 'booked', 'writes are blocked');
    await site.session.client.workflow.getHandle(workflowId).terminate('by mistake');
    const of = (works: readonly { workflowId: string; endedIncident?: string }[]): string | undefined =>
      works.find((one) => one.workflowId === hold)?.endedIncident;
    await site.waitFor(
      async () => of((await answer<{ works: Parameters<typeof of>[0] }>(site, 'status')).works) === workflowId,
      'status says that the incident has ended',
    );
    const { findings } = await toldOfAll<{ findings: readonly Finding[] }>(site, 'check', 'mairie');
    expect(findings).toContainEqual(
      expect.objectContaining({
        ...{ check: expect.stringMatching(/^cluster\/mairie\/frozen\/.*\/incident$/), level: 'problem' },
        ...{ message: expect.stringContaining(workflowId), fix: expect.stringContaining('table release') },
      }),
    );
    const { stdout } = await site.cliAt(80, 'status', workflowId);
    expect(stdout).toMatch(/state +terminated/);
    const { incidents } = await answer<{ incidents: { id: string; state: string }[] }>(site, 'incident', 'list');
    expect(incidents.find(({ id }) => id === workflowId)).toMatchObject({ state: 'terminated' });
    expect(stdout).toContain('nothing of it goes on; what it left is shown by: reprise check mairie');
    expect(await booked()).not.toBe('booked');
    await answer(site, 'table', 'release', hold, '--by', 'dba', '--reason', 'nobody needs it');
    expect(await booked()).toBe('booked');
  });
});
