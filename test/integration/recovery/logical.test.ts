import { readFile, readdir, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { queryNames } from '../../../src/domain/operation/names.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import type { CatalogueRecord, KeptItem } from '../../../src/domain/backup/records.js';
import type { BesideCopy } from '../../../src/domain/operation/inspections.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import { answer, approved, planned, reaches, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let dumped: Record<string, string>;

const databases = async (): Promise<string[]> =>
  (
    (await site.query("SELECT datname FROM pg_database WHERE datname LIKE 'mairie%' ORDER BY 1", 'postgres')).rows as {
      datname: string;
    }[]
  ).map(({ datname }) => datname);

beforeAll(async () => {
  site = await Site.create();
  await site.startWorker();
  await site.backUp('dump');
  dumped = await site.contentHash();
  await site.query(
    "DELETE FROM metier.demandes_rdv WHERE id > 100; ALTER DATABASE mairie SET work_mem = '7MB'; ALTER DATABASE mairie OWNER TO postgres",
  );
});

describe('K1: databases restored beside the live ones, then swapped by rename', () => {
  it('what a dump cannot do, or a name that is not there, is refused before anything changes', async () => {
    const now = await site.contentHash();
    expect(
      await refusal(site, 'recover', 'mairie', '--policy', 'dump', '--to', '2026-01-01T00:00:00Z', '--dry-run'),
    ).toMatchObject({ exit: 9, code: 'capability-missing', hint: expect.stringContaining('latest') });
    expect(
      await refusal(site, 'recover', 'mairie', '--policy', 'dump', '--database', 'mairie2', '--dry-run'),
    ).toMatchObject({ exit: 9, code: 'no-usable-backup' });
    for (const how of [[], ['--detach']])
      expect(await refusal(site, 'recover', 'mairie', '--policy', 'physical', ...how)).toMatchObject({
        exit: 9,
        code: 'no-usable-backup',
      });
    // Into the server of a place beside the cluster, where there is none.
    expect((await refusal(site, 'recover', 'mairie', '--policy', 'dump', '--into', 'beside', '--dry-run')).exit).toBe(
      5,
    );
    expect(await site.contentHash()).toEqual(now);
    expect(await databases()).toEqual(['mairie']);
  });

  it('with a pause: the restored ones are looked at beside the live ones; rejected, everything is as before', async () => {
    const now = await site.contentHash();
    const started = await planned(site, '--policy', 'dump', '--pause');
    expect(started.plan.binding).toMatchObject({
      method: 'databases',
      dataDir: null,
      pause: true,
      replaces: [{ what: 'database mairie', keptAs: expect.stringContaining('_aside_') }],
    });
    await approved(site, started);
    await reaches(site, started.workflowId, 'paused');
    const fresh = (await databases()).find((name) => name.includes('_new_')) ?? '';
    expect(await site.contentHash('mairie')).toEqual(now);
    expect((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv', fresh)).rows).toEqual([{ n: 3000 }]);
    await answer(site, 'reject', started.workflowId, '--by', 'dba', '--reason', 'wrong day');
    await reaches(site, started.workflowId, 'failed');
    expect(await site.contentHash()).toEqual(now);
    // The copy is known, and goes when a person says so.
    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    expect(kept).toMatchObject([{ where: fresh, what: expect.stringContaining('not put in its place') }]);
    await answer(site, 'kept', 'drop', kept[0]?.id ?? '', '--yes');
    expect(await databases()).toEqual(['mairie']);
  });

  it('G5, B4, K1: after the swap all is as it was dumped, settings and owner of the database too; the old one is kept, a safety backup was taken', async () => {
    const before = await site.backups();
    const started = await planned(site, '--to', `backup:${before[0]?.id}`);
    // What comes back is that backup, however new others are.
    expect(started.plan.observed).toMatchObject({
      stateAt: before[0]?.startedAt,
      approval: { approvers: 1, from: ['dba'] },
    });
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    expect(await site.contentHash()).toEqual(dumped);

    const [old] = (await databases()).filter((name) => name.includes('_aside_'));
    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list', '--cluster', 'mairie');
    expect(kept).toMatchObject([{ where: old, what: 'old database mairie' }]);
    // Nobody writes into it by mistake.
    await expect(site.query('SELECT 1', old ?? '')).rejects.toThrow(/not currently accepting connections/);
    expect(await databases()).toEqual(['mairie', old]);
    const after = await site.backups();
    expect(after.length).toBe(before.length + 2);
    expect(after.at(-1)).toMatchObject({ status: 'complete', proven: { level: 'verified' } });

    const [{ id }] = kept as [KeptItem];
    // Whoever can write into the repository names a living database, under a name that a recovery could give.
    const live = 'mairie_aside_2026';
    await site.query(`CREATE DATABASE ${live}`, 'postgres');
    const records = `${site.places.backupsDir}/mairie/records`;
    const files = (await readdir(records)).filter((name) => name.endsWith('.json')).toSorted();
    const last = await Promise.all(
      files.map(async (name) => JSON.parse(await readFile(`${records}/${name}`, 'utf8')) as CatalogueRecord),
    );
    const theirs = last.find((one) => one.kind === 'kept' && one.keptId === id);
    const forged = { ...theirs, seq: last.length + 1, id: 'forged', keptId: 'forged', where: live };
    const name = String(forged.seq).padStart(files[0]?.replace(/\D/g, '').length ?? 0, '0');
    await writeFile(`${records}/${name}.json`, JSON.stringify(forged));
    expect((await answer<{ kept: KeptItem[] }>(site, 'kept', 'list')).kept).toMatchObject([{ id }, { id: 'forged' }]);
    for (const more of [['--dry-run'], ['--yes']])
      expect(await refusal(site, 'kept', 'drop', 'forged', ...more)).toMatchObject({ exit: 9, code: 'path-refused' });
    expect(await databases()).toContain(live);
    await site.query(`DROP DATABASE ${live}`, 'postgres');
    expect(await refusal(site, 'kept', 'drop', id)).toMatchObject({ exit: 9, code: 'confirmation-needed' });
    expect(await answer(site, 'kept', 'drop', id, '--dry-run')).toMatchObject({ dryRun: true });
    expect(await databases()).toContain(old);
    await answer(site, 'kept', 'drop', id, '--yes');
    expect(await databases()).toEqual(['mairie']);
    expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
  });

  it('F15: a dump changed after its approval is quarantined; the next good one needs an approval of its own, and is what is restored', async () => {
    const now = await site.contentHash();
    const started = await planned(site, '--policy', 'dump');
    const good = (await site.backups()).filter(({ status }) => status === 'complete').at(-2);
    const [backup] = started.plan.binding.backups;
    const folder = `${site.places.backupsDir}/mairie/dump`;
    expect(await readdir(folder)).toContain(`${backup?.label}.dump`);
    await writeFile(`${folder}/${backup?.label}.dump`, 'x', { flag: 'r+' });
    await approved(site, started);
    const again = await site.waitFor(async () => {
      const plan = await site.session.client.workflow.getHandle(started.workflowId).query<Plan | null>(queryNames.plan);
      return plan !== null && plan.digest !== started.plan.digest && plan;
    }, 'another plan waits');
    expect(again.binding.backups).toMatchObject([{ id: good?.id }]);
    expect(again.observed.warnings.join()).toContain(`${backup?.id} is newer but quarantined`);
    expect((await site.backups()).find(({ id }) => id === backup?.id)).toMatchObject({
      status: 'quarantined',
      proven: null,
    });
    expect(
      await refusal(
        site,
        'approve',
        started.workflowId,
        '--plan',
        started.plan.digest,
        '--by',
        'dba',
        '--reason',
        'test',
      ),
    ).toMatchObject({ exit: 9, code: 'plan-stale' });
    expect((await reaches(site, started.workflowId, 'waiting-approval')).plan).toBe(again.digest);
    expect(await site.contentHash()).toEqual(now);
    expect(await databases()).toEqual(['mairie']);
    // Asked for by its name, it is refused.
    expect(await refusal(site, 'recover', 'mairie', '--to', `backup:${backup?.id}`, '--dry-run')).toMatchObject({
      exit: 9,
      code: 'no-usable-backup',
    });
    await approved(site, { ...started, plan: again });
    await reaches(site, started.workflowId, 'completed');
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', started.workflowId);
    expect(markdown).toMatch(/is stale .*SHA-256.* quarantined/);
    expect(markdown).toContain(again.digest.slice(0, 12));
    // That is the safety backup of the recovery before, taken when rows were gone.
    expect((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows).toEqual([{ n: 100 }]);
  });

  it('R14: old data that somebody has dropped by hand is no longer listed; the rest can be dropped', async () => {
    const listed = async (): Promise<KeptItem[]> =>
      (await answer<{ kept: KeptItem[] }>(site, 'kept', 'list')).kept.filter((one) => one.id !== 'forged');
    const [first, ...rest] = await listed();
    expect(first?.where).toContain('_aside_');
    await site.query(`DROP DATABASE "${first?.where}"`, 'postgres');
    expect(await listed()).toEqual(rest);
    for (const { id } of rest) await answer(site, 'kept', 'drop', id, '--yes');
    expect(await listed()).toEqual([]);
  });
});

it('O13: the live server dies while restored databases are inspected: promote starts it again, and swaps them in', async () => {
  await site.backUp('dump');
  const dumpedNow = await site.contentHash();
  await site.query('DELETE FROM metier.demandes_rdv');
  const started = await planned(site, '--policy', 'dump', '--pause');
  await approved(site, started);
  await reaches(site, started.workflowId, 'paused');
  await site.loseInstance('killed');
  await answer(site, 'promote', started.workflowId, '--by', 'dba', '--reason', 'looks right');
  await reaches(site, started.workflowId, 'completed');
  expect(await site.contentHash()).toEqual(dumpedNow);
  const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
  for (const { id, where } of kept)
    if (id !== 'forged' && where.includes('_aside_')) await answer(site, 'kept', 'drop', id, '--yes');
});

it('O12: databases that a dump was recovered into beside are listed; they are dropped by name, and never one that is not that copy', async () => {
  const port = site.places.port + 1;
  const other = await startScratchCluster({ settings: { port, unix_socket_directories: site.server.socketDir } });
  const there = { ...site.server, port };
  const copies = async () => (await answer<{ beside: BesideCopy[] }>(site, 'beside', 'list')).beside;
  await site.backUp('dump');
  const started = await planned(site, '--policy', 'dump', '--into', 'beside');
  await approved(site, started);
  await reaches(site, started.workflowId, 'completed');
  const told = (await site.cli('watch', started.workflowId)).stdout;
  expect(told).toContain(`-p ${port} -U postgres DATABASE`);
  expect(told).toContain('reprise beside drop beside');
  expect(told).not.toContain('reprise beside stop');

  expect(await copies()).toMatchObject([
    { name: 'beside', where: 'mairie', port, state: 'running', sizeBytes: expect.any(Number) },
  ]);
  const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
  expect(kept.filter(({ where }) => where === 'mairie')).toEqual([]);
  expect(await refusal(site, 'beside', 'stop', 'beside')).toMatchObject({
    exit: 9,
    hint: expect.stringContaining('reprise beside drop beside'),
  });
  // Of another server, whose databases may have the same numbers, nothing is taken for the copy.
  const [{ comment }] = (
    await runQuery(
      there,
      'postgres',
      "SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = 'mairie'",
    )
  ).rows as [{ comment: string }];
  await runQuery(there, 'postgres', "COMMENT ON DATABASE mairie IS 'of the town hall'");
  expect(await copies()).toMatchObject([{ state: 'gone' }]);
  expect((await refusal(site, 'beside', 'drop', 'beside', '--yes')).code).toBe('path-refused');
  await runQuery(there, 'postgres', `COMMENT ON DATABASE mairie IS '${comment}'`);
  await answer(site, 'beside', 'drop', 'beside', '--yes');
  expect(await copies()).toEqual([]);
  expect(
    (await runQuery(there, 'postgres', "SELECT count(*)::int AS n FROM pg_database WHERE datname = 'mairie'")).rows,
  ).toEqual([{ n: 0 }]);
  await other.stop();
});

it('S3: a dump needs a running server: with the server down its plan is refused, a restart is offered where the directory is whole', async () => {
  const content = await site.contentHash();
  await site.loseInstance('killed');
  expect(await refusal(site, 'recover', 'mairie', '--policy', 'dump', '--dry-run')).toMatchObject({
    exit: 5,
    code: 'database-unreachable',
  });
  const started = await planned(site);
  expect(started.plan.binding.method).toBe('restart');
  expect(started.plan.observed.warnings.join()).toContain('intact');
  await approved(site, started);
  await reaches(site, started.workflowId, 'completed');
  expect(await site.contentHash()).toEqual(content);
});
