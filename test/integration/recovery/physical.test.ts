import { appendFile, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import type { BesideCopy } from '../../../src/domain/operation/inspections.js';
import type { KeptItem } from '../../../src/domain/backup/records.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery } from '../../helpers/postgres.js';
import { answer, approved, planned, reaches, refusal, snapshot, statusOf } from '../../helpers/site-cli.js';
import type { Started } from '../../helpers/site-cli.js';
import { pgCtl } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

interface Outcome {
  readonly workflowId: string;
  readonly plan: { readonly digest: string };
  readonly target: { readonly requested: string; readonly reached: string };
  readonly rtoSeconds: number;
  readonly rpoSeconds: number | null;
  readonly phases: readonly { name: string; seconds: number }[];
  readonly checks: readonly { name: string; status: string }[];
  readonly report: string;
}

let site: Site;
let first: Backup;
/** One position after each of the rows 1 to 4, every one in a segment of its own. */
const at = { time: '', lsn: '', xid: '', left: '' };
const segments: string[] = [];

const marks = async (port = site.places.port): Promise<number[]> =>
  ((await runQuery({ ...site.server, port }, 'mairie', 'SELECT n FROM marks ORDER BY n')).rows as { n: number }[]).map(
    ({ n }) => n,
  );
const scalar = async (sql: string, port = site.places.port): Promise<string> =>
  String(
    Object.values((await runQuery({ ...site.server, port }, 'mairie', sql)).rows[0] as Record<string, unknown>)[0],
  );
const beside = (): number => site.places.port + 1;
const archive = () => join(site.root, 'pgb', 'repo', 'archive', 'main');

/** Commits one row; returns its transaction id. */
const mark = (n: number): Promise<string> => scalar(`INSERT INTO marks VALUES (${n}) RETURNING pg_current_xact_id()`);
/** Closes the segment being written and waits until it is archived. */
async function nextSegment(): Promise<void> {
  segments.push(await site.archiveSegment());
}
const stopBeside = () => pgCtl(site.binDir, join(site.root, 'beside'), 'stop', '--mode', 'fast');

beforeAll(async () => {
  site = await Site.create();
  await site.query('CREATE TABLE marks (n int PRIMARY KEY)');
  await site.query('CREATE UNLOGGED TABLE cache AS SELECT 1 AS i');
  await site.query('CREATE DATABASE cut_off');
  await site.query("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'cut_off'");
  await site.startWorker();
  const made = await site.backUp('physical');
  first = made.backups[0] as Backup;
  expect(made.notes).toContainEqual(expect.stringContaining('"cut_off" is invalid'));
  await mark(1);
  at.time = await scalar(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
  await nextSegment();
  await mark(2);
  at.lsn = await scalar('SELECT pg_current_wal_lsn()');
  await nextSegment();
  at.xid = await mark(3);
  await nextSegment();
  await mark(4);
  await site.query("SELECT pg_create_restore_point('before_migration')");
  await nextSegment();
  await mark(5);
  at.left = await scalar(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
});

describe('refused before anything changes', () => {
  const dryRun = (...argv: string[]) => refusal(site, 'recover', 'mairie', '--dry-run', ...argv);

  it('F24, F25, F26: targets before the backup, after the WAL, ambiguous or malformed; unknown places and policies', async () => {
    const before = await snapshot(site.places.backupsDir, archive());
    expect(await dryRun('--to', '2020-01-01T00:00:00Z')).toMatchObject({
      exit: 9,
      code: 'target-before-backup',
      hint: expect.stringContaining('earliest'),
    });
    expect(await dryRun('--to', 'lsn:0/1')).toMatchObject({ exit: 9, code: 'target-before-backup' });
    expect(await dryRun('--to', '2036-01-01T00:00:00Z')).toMatchObject({
      exit: 9,
      code: 'target-after-wal',
      hint: expect.stringMatching(/latest recoverable time is \d{4}-/),
    });
    expect(await dryRun('--to', 'name:never_made')).toMatchObject({ exit: 9, code: 'target-after-wal' });
    expect(await dryRun('--to', '2026-10-25T02:30:00')).toMatchObject({
      exit: 9,
      code: 'target-ambiguous',
      hint: expect.stringContaining('2026-10-25T02:30:00Z'),
    });
    for (const malformed of ['lsn:zero', '2026-13-01T00:00:00Z'])
      expect(await dryRun('--to', malformed)).toMatchObject({ exit: 2, code: 'target-invalid' });
    expect(await dryRun('--to', 'backup:mairie:pgbackrest:20200101-000000F')).toMatchObject({ exit: 6 });
    expect(await dryRun('--into', 'besides')).toMatchObject({ exit: 6, hint: expect.stringContaining('beside') });
    expect(await snapshot(site.places.backupsDir, archive())).toEqual(before);
    expect((await answer<{ works: unknown[] }>(site, 'status')).works).toEqual([]);
  });

  it('F23: WAL missing in the middle; a target before the gap can still be planned', async () => {
    const path =
      (await readdir(archive(), { recursive: true })).find((name) => name.includes(segments[2] ?? 'none')) ?? '';
    const [from, to] = [join(archive(), path), join(site.root, 'hidden')];
    await rename(from, to);
    try {
      expect(await dryRun('--into', 'beside')).toMatchObject({
        exit: 9,
        code: 'wal-gap',
        message: expect.stringContaining(segments[2] ?? ''),
      });
      expect(await dryRun('--into', 'beside', '--to', 'name:before_migration')).toMatchObject({ exit: 9 });
      expect(await answer(site, 'recover', 'mairie', '--into', 'beside', '--dry-run', '--to', at.time)).toMatchObject({
        dryRun: true,
        plan: { binding: { target: { kind: 'time' } } },
      });
    } finally {
      await rename(to, from);
    }
  });
});

describe('beside the cluster', () => {
  it('K2, F28: to a time with a pause: inspect read-only, retarget forward only, promote; production and its archive untouched', async () => {
    const before = await snapshot(archive());
    const running = site.cli(
      'recover',
      'mairie',
      '--to',
      at.time,
      '--into',
      'beside',
      '--pause',
      '--by',
      'ops',
      '--json',
    );
    const workflowId = await site.waitFor(async () => {
      const { works } = await answer<{ works: { workflowId: string; kind: string; state: string }[] }>(site, 'status');
      return works.find(({ kind, state }) => kind === 'recover' && state === 'waiting-approval')?.workflowId;
    }, 'the plan waits');
    const { plan, waitingFor } = await statusOf(site, workflowId);
    expect(waitingFor).toContain('reprise approve');
    expect(await answer(site, 'approve', workflowId, '--by', 'dba', '--reason', 'test', '--yes')).toMatchObject({
      missing: 0,
      assurance: 'asserted',
    });

    await reaches(site, workflowId, 'paused');
    expect(await marks(beside())).toEqual([1]);
    expect(await scalar("SELECT pg_is_in_recovery() || ' ' || current_setting('archive_mode')", beside())).toBe(
      'true off',
    );
    await expect(
      runQuery({ ...site.server, port: beside() }, 'mairie', 'INSERT INTO marks VALUES (9)'),
    ).rejects.toThrow(/read-only/);

    const retarget = async (to: string, seen: number[]) => {
      await answer(site, 'retarget', workflowId, '--to', to, '--by', 'dba', '--reason', 'test');
      await site.waitFor(
        async () => JSON.stringify(await marks(beside())) === JSON.stringify(seen),
        `${to} shows rows ${seen.join()}`,
      );
      await reaches(site, workflowId, 'paused');
    };
    // Whoever may not approve it may not decide on it either, and is told so (F32).
    expect(await refusal(site, 'promote', workflowId, '--by', 'mallory')).toMatchObject({
      exit: 9,
      code: 'approval-refused',
      message: expect.stringContaining('mallory'),
      hint: expect.stringContaining('dba'),
    });
    expect(await refusal(site, 'retarget', workflowId, '--to', `lsn:${at.lsn}`, '--by', 'ops')).toMatchObject({
      exit: 9,
      code: 'approval-refused',
      message: expect.stringContaining('ops'),
    });
    expect(await marks(beside())).toEqual([1]);
    await retarget(`lsn:${at.lsn}`, [1, 2]);
    await retarget(`xid:${at.xid}`, [1, 2, 3]);
    await answer(site, 'promote', workflowId, '--by', 'dba', '--reason', 'test');

    const { code, stdout } = await running;
    const outcome = JSON.parse(stdout) as Outcome;
    expect(code).toBe(0);
    expect(outcome).toMatchObject({
      schemaVersion: 1,
      workflowId,
      plan: { digest: plan },
      target: { requested: at.time },
      checks: [{ name: 'rows', status: 'passed' }],
      report: expect.any(String),
    });
    expect(outcome.target.reached).toContain(`xid:${at.xid}`);
    expect(outcome.rtoSeconds).toBeGreaterThan(0);
    // O12: production goes on, so that nothing is lost.
    expect(outcome).toMatchObject({ rpoSeconds: null, leavesProduction: true, place: { into: 'beside' } });
    for (const phase of outcome.phases)
      expect(phase).toEqual({ name: expect.any(String), seconds: expect.any(Number) });
    expect(await scalar('INSERT INTO marks VALUES (99) RETURNING n', beside())).toBe('99');
    expect(await marks()).toEqual([1, 2, 3, 4, 5]);
    // It may have gone on itself; what the clone wrote is not there.
    const after = await snapshot(archive());
    expect(after).toMatchObject(before);
    expect(Object.keys(after).filter((path) => basename(path).startsWith('00000002'))).toEqual([]);
  });

  it('K2: to a restore point, then to the end of the backup named; what lay there is kept until it is dropped by its name', async () => {
    // A server works in it: nothing is moved away under it.
    expect(await refusal(site, 'recover', 'mairie', '--into', 'beside', '--dry-run')).toMatchObject({
      exit: 7,
      code: 'conflict',
    });
    await stopBeside();
    const named = await planned(site, '--to', 'name:before_migration', '--into', 'beside');
    await approved(site, named);
    await reaches(site, named.workflowId, 'completed');
    expect(await marks(beside())).toEqual([1, 2, 3, 4]);
    await stopBeside();

    const ended = await planned(site, '--to', `backup:${first.id}`, '--into', 'beside');
    expect(ended.plan.binding).toMatchObject({ target: { kind: 'end-of-backup' }, backups: [{ id: first.id }] });
    await approved(site, ended);
    await reaches(site, ended.workflowId, 'completed');
    expect(await marks(beside())).toEqual([]);

    // O12: what a recovery has left beside is listed, and is stopped and dropped by its name; the one before is old data now.
    const copies = async () => (await answer<{ beside: BesideCopy[] }>(site, 'beside', 'list')).beside;
    expect(await copies()).toMatchObject([
      { name: 'beside', cluster: 'mairie', state: 'running', port: beside(), sizeBytes: expect.any(Number) },
    ]);
    const told = (await site.cli('watch', ended.workflowId)).stdout;
    for (const word of [
      'recovered to',
      `port ${beside()}`,
      'report',
      'reprise beside stop beside',
      `-p ${beside()} -U postgres -t SCHEMA.TABLE DATABASE | psql -h `,
    ])
      expect(told).toContain(word);
    expect(told).toContain('nothing was replaced: the cluster itself stays as it is');
    // Nothing is running but what runs all the time: the follower ends.
    expect((await site.cli('watch')).code).toBe(0);
    expect(await answer(site, 'beside', 'drop', 'beside', '--dry-run')).toMatchObject({ dryRun: true });
    expect(await refusal(site, 'beside', 'drop', 'beside', '--yes')).toMatchObject({
      hint: expect.stringContaining('reprise beside stop'),
    });
    expect(await answer(site, 'beside', 'stop', 'beside', '--dry-run')).toMatchObject({ stopped: true });
    expect(await answer(site, 'beside', 'stop', 'beside')).toMatchObject({ stopped: true });
    expect(await answer(site, 'beside', 'stop', 'beside')).toMatchObject({ stopped: false });
    expect(await copies()).toMatchObject([{ name: 'beside', state: 'stopped' }]);
    expect(await refusal(site, 'beside', 'drop', 'beside')).toMatchObject({ exit: 9, code: 'confirmation-needed' });
    // Who has confirmed it is not told that it waits for an approval.
    const dropped = await site.cli('beside', 'drop', 'beside', '--yes');
    expect([dropped.code, `${dropped.stdout}${dropped.stderr}`]).toEqual([0, expect.not.stringContaining('approv')]);
    expect(await copies()).toEqual([]);
    await expect(readdir(ended.plan.binding.dataDir ?? '')).rejects.toMatchObject({ code: 'ENOENT' });

    const { kept } = await answer<{ kept: KeptItem[] }>(site, 'kept', 'list');
    expect(kept).toMatchObject(
      [named, ended].map(({ plan }) => ({ cluster: 'mairie', host: 'db1', where: plan.binding.replaces[0]?.keptAs })),
    );
    const [{ id, where }, other] = kept as [KeptItem, KeptItem];
    expect(await refusal(site, 'kept', 'drop', id)).toMatchObject({ exit: 9, code: 'confirmation-needed' });
    expect(await answer(site, 'kept', 'drop', id, '--dry-run')).toMatchObject({ dryRun: true, dropped: [{ id }] });
    expect(await readdir(where)).toContain('PG_VERSION');
    expect(await answer(site, 'kept', 'drop', id, '--yes')).toMatchObject({ dropped: [{ id }] });
    await expect(readdir(where)).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await answer<{ kept: KeptItem[] }>(site, 'kept', 'list')).kept).toMatchObject([{ id: other.id }]);
    expect(await refusal(site, 'kept', 'drop', id, '--yes')).toMatchObject({ exit: 6, code: 'not-found' });
  });
});

it('F32: pgbackrest.conf changed after the approval: the plan is stale, and another one waits for its own', async () => {
  const started = await planned(site, '--to', at.time, '--into', 'beside');
  const kept = await readFile(site.places.pgbackrestConf, 'utf8');
  await appendFile(site.places.pgbackrestConf, '# another\n');
  try {
    await approved(site, started);
    const again = await site.waitFor(async () => {
      const view = await reaches(site, started.workflowId, 'waiting-approval');
      return view.plan !== null && view.plan !== started.plan.digest && view.plan;
    }, 'another plan waits');
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
    ).toMatchObject({ exit: 9, code: 'plan-stale', hint: expect.stringContaining(again.slice(0, 12)) });
    await answer(site, 'reject', started.workflowId, '--reason', 'test');
    await reaches(site, started.workflowId, 'rejected');
  } finally {
    await writeFile(site.places.pgbackrestConf, kept);
  }
});

describe('in place', () => {
  let restored: Started;
  const finished = async (started: Started): Promise<void> => {
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
  };

  it('K2, S4, W9: back to a restore point of a running server with an invalid database: old data kept, archiving armed again, a fresh backup verified', async () => {
    const started = await planned(site, '--to', 'name:before_migration');
    expect(started.plan.binding).toMatchObject({ method: 'data-directory', replaces: [{ what: site.places.dataDir }] });
    const { plan } = await answer<{ plan: Plan }>(
      site,
      'recover',
      'mairie',
      '--to',
      'name:before_migration',
      '--dry-run',
    );
    expect(plan.observed.warnings).toContainEqual(expect.stringContaining('come back empty'));
    await finished(started);
    restored = started;
    expect(await marks()).toEqual([1, 2, 3, 4]);
    expect(
      await scalar(
        "SELECT pg_is_in_recovery() || ' ' || current_setting('archive_mode') || ' ' || (current_setting('archive_command') LIKE '%archive-push%')",
      ),
    ).toBe('false on true');
    await mark(6);
    await nextSegment();
    expect(segments.at(-1)).toMatch(/^00000002/);
    const { backups } = await answer<{ backups: Backup[] }>(site, 'backup', 'list', 'mairie');
    expect(backups.filter(({ engine }) => engine === 'pgbackrest').at(-1)).toMatchObject({
      type: 'full',
      status: 'complete',
      proven: { level: 'verified' },
    });
    expect(backups.length).toBe(2);
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', started.workflowId);
    expect(markdown).toContain('before_migration');
    expect(markdown).toContain('is invalid');
  });

  it('F8: its approval cannot be used again: a Reset of the finished recovery is refused and changes nothing', async () => {
    const { workflowId } = restored;
    const { events } = await site.session.client.workflow.getHandle(workflowId).fetchHistory();
    const completed = (events ?? []).filter(({ workflowTaskCompletedEventAttributes: task }) => task);
    const approval = (events ?? []).find(({ workflowExecutionUpdateAcceptedEventAttributes: accepted }) => accepted);
    const { eventId } = completed.findLast((event) => Number(event.eventId) < Number(approval?.eventId)) ?? {};
    const before = await marks();
    await site.session.connection.workflowService.resetWorkflowExecution({
      namespace: site.session.settings.namespace,
      workflowExecution: { workflowId },
      reason: 'test',
      requestId: 'reset-1',
      workflowTaskFinishEventId: eventId,
    });
    // It waits again with the plan that it used: nobody can approve that one a second time.
    const { plan } = await reaches(site, workflowId, 'waiting-approval');
    expect(plan).toBe(restored.plan.digest);
    expect(
      await refusal(site, 'approve', workflowId, '--plan', restored.plan.digest, '--by', 'dba', '--reason', 'again'),
    ).toMatchObject({ exit: 9, code: 'approval-used' });
    await answer(site, 'reject', workflowId, '--reason', 'test');
    await reaches(site, workflowId, 'rejected');
    expect(await marks()).toEqual(before);
  });

  it('S4: after the loss of everything, to the latest: the new timeline is followed, what was archived is back', async () => {
    await site.loseInstance('all');
    const started = await planned(site);
    expect(started.plan.binding).toMatchObject({ method: 'data-directory', target: { kind: 'latest' }, replaces: [] });
    await finished(started);
    expect(await marks()).toEqual([1, 2, 3, 4, 6]);
    expect(await scalar('SELECT timeline_id FROM pg_control_checkpoint()')).toBe('3');
  });

  it('W4, F49: back too far: the instant that was left has two meanings, both are named, and what was left is recovered', async () => {
    const refused = await refusal(site, 'recover', 'mairie', '--to', at.left, '--dry-run');
    expect(refused).toMatchObject({
      exit: 9,
      code: 'target-ambiguous',
      message: expect.stringMatching(/on timeline 3 .*on timeline 1 /) as unknown,
      hint: expect.stringMatching(/--timeline 3, or --to \S+ --timeline 1/) as unknown,
    });
    // As the hint says: to the instant, or to the end where that is the last commit there.
    const [, to = ''] = /--to (\S+) --timeline 1/.exec(refused.hint ?? '') ?? [];
    const started = await planned(site, '--to', to, '--timeline', '1');
    expect(started.plan.binding).toMatchObject({ timeline: 1, replaces: [{ what: site.places.dataDir }] });
    expect(started.plan.observed).toMatchObject({
      history: { newest: 3, path: [{ timeline: 1, until: null }] },
      warnings: expect.arrayContaining([
        expect.stringMatching(/timeline 1 is followed; changes on timeline 3/),
      ]) as unknown,
    });
    await finished(started);
    expect(await marks()).toEqual([1, 2, 3, 4, 5]);
    expect(await scalar('SELECT timeline_id FROM pg_control_checkpoint()')).toBe('4');
    // And back again: nothing of what was left is lost.
    const { plan } = await answer<{ plan: Plan }>(
      site,
      'recover',
      'mairie',
      '--to',
      'latest',
      '--timeline',
      '3',
      '--dry-run',
    );
    expect(plan.binding).toMatchObject({ timeline: 3 });
  });

  it('S1: where only the server is down, a restart is planned: nothing is replaced; a policy named restores all the same', async () => {
    await site.loseInstance('killed');
    const { plan } = await answer<{ plan: Started['plan'] }>(
      site,
      'recover',
      'mairie',
      '--policy',
      'physical',
      '--dry-run',
    );
    expect(plan.binding.method).toBe('data-directory');
    const started = await planned(site);
    expect(started.plan.binding).toMatchObject({ method: 'restart', replaces: [], backups: [] });
    await finished(started);
    expect(await marks()).toEqual([1, 2, 3, 4, 5]);
    expect(await scalar('SELECT timeline_id FROM pg_control_checkpoint()')).toBe('4');
    expect(await site.leftovers()).toMatchObject({ processes: [], files: [] });
  });
});
