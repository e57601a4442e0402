import { readdir, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PartlyMade } from '../../../src/activities/api.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { heavyQueue } from '../../../src/domain/operation/names.js';
import type { OperationStatusView } from '../../../src/domain/operation/status.js';
import type { RotateOutput } from '../../../src/domain/retention/retention.js';
import { operationsInUse, readJobs } from '../../../src/process/jobs/supervisor.js';
import { openMeasuredRestores } from '../../../src/records/measured-restores.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import {
  answer,
  approved,
  editConfig,
  planned,
  reaches,
  refusal,
  snapshot,
  statusOf,
  told,
} from '../../helpers/site-cli.js';
import { dueHour } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

interface Ran {
  readonly workflowId: string;
  readonly backups: readonly Backup[];
  readonly rotation: RotateOutput;
}

const FIELDS = [
  'id',
  'cluster',
  'engine',
  'repository',
  'type',
  'startedAt',
  'finishedAt',
  'sizeBytes',
  'proven',
  'heldUntil',
  'status',
];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let site: Site;
const records = () => snapshot(site.places.backupsDir, join(site.root, 'pgb', 'repo'));
const run = (policy: string, ...more: string[]) =>
  answer<Ran>(site, 'backup', 'run', 'mairie', '--policy', policy, ...more);

beforeAll(async () => {
  site = await Site.create({ retention: '{ count: 1, min_proven: 1 }' });
  const more = [
    '      unproven: { engine: logical, repository: local, retention: { count: 1, min_proven: 1 }, proof: none }',
    '      off: { engine: logical, repository: local, enabled: false, schedule: { cron: "45 1 * * *" } }',
  ];
  await editConfig(site, (text) =>
    text
      .replace('db1: { ', 'db1: { heavy_slots: 2, ')
      .replace('    recovery:\n', `${more.join('\n')}\n    recovery:\n`),
  );
  await site.startWorker();
});

describe('backup run, list, show, verify', () => {
  let dump: Backup;
  let physical: Backup;

  it('P1, B1, B4: a dry run prints the plan and changes nothing; then both engines take a proven backup', async () => {
    const before = await records();
    expect(await answer(site, 'backup', 'run', 'mairie', '--policy', 'dump', '--dry-run')).toMatchObject({
      dryRun: true,
      plan: { engine: 'logical', enabled: true, proof: 'verify' },
    });
    expect(await records()).toEqual(before);

    const ran = await Promise.all([run('dump'), run('physical')]);
    expect(ran.map(({ workflowId }) => workflowId)).toEqual(['backup/mairie/dump', 'backup/mairie/physical']);
    [dump, physical] = ran.map(({ backups }) => backups[0]) as [Backup, Backup];
    for (const backup of [dump, physical]) {
      expect(Object.keys(backup)).toEqual(expect.arrayContaining(FIELDS));
      expect(backup).toMatchObject({
        cluster: 'mairie',
        repository: 'local',
        type: 'full',
        status: 'complete',
        heldUntil: null,
        proven: { level: 'verified', at: expect.stringMatching(TIME) },
      });
      expect([backup.startedAt, backup.finishedAt]).toEqual([expect.stringMatching(TIME), expect.stringMatching(TIME)]);
      expect(backup.sizeBytes).toBeGreaterThan(1000);
    }
    expect(dump.id).toMatch(/^mairie:logical:mairie_full_\d{8}_\d{6}$/);
    expect(physical.id).toMatch(/^mairie:pgbackrest:\d{8}-\d{6}F$/);
    const stored = await readdir(join(site.places.backupsDir, 'mairie', 'dump'));
    expect(stored).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^mairie_full_\d{8}_\d{6}\.dump$/),
        expect.stringMatching(/\.globals\.sql$/),
      ]),
    );
  });

  it('lists them, also of one cluster; shows one; what is not there is exit 6 with a next step', async () => {
    const { backups } = await answer<{ backups: Backup[] }>(site, 'backup', 'list');
    expect(backups.map(({ id }) => id).toSorted()).toEqual([dump.id, physical.id].toSorted());
    for (const backup of backups) expect(Object.keys(backup)).toEqual(expect.arrayContaining(FIELDS));
    expect((await answer<{ backups: Backup[] }>(site, 'backup', 'list', 'mairie')).backups).toEqual(backups);
    expect((await answer<{ backup: Backup }>(site, 'backup', 'show', dump.id)).backup).toMatchObject({
      id: dump.id,
      contents: expect.any(Array),
    });
    expect(await refusal(site, 'backup', 'show', `${dump.id}9`)).toMatchObject({ exit: 6, code: 'not-found' });
    expect(await refusal(site, 'backup', 'show', 'nonsense')).toMatchObject({ exit: 6, code: 'not-found' });
    expect(await refusal(site, 'backup', 'list', 'marie')).toMatchObject({
      exit: 6,
      code: 'not-found',
      hint: expect.stringContaining('mairie'),
    });
    expect(await refusal(site, 'backup', 'run', 'mairie', '--policy', 'dumb')).toMatchObject({
      exit: 6,
      hint: expect.stringContaining('dump'),
    });
    expect(await refusal(site, 'backup', 'run', 'mairie')).toMatchObject({ exit: 2, code: 'usage' });
  });

  it('B5, P4: verify reads, verify --restore restores into a scratch server: proven restored, for both engines, and measured; nothing is left', async () => {
    const before = await records();
    expect(await answer(site, 'backup', 'verify', dump.id, '--restore', '--dry-run')).toMatchObject({
      dryRun: true,
      backupId: dump.id,
      restore: true,
    });
    expect(await records()).toEqual(before);
    expect(await answer(site, 'backup', 'verify', dump.id)).toMatchObject({
      ok: true,
      backup: { id: dump.id, proven: { level: 'verified' } },
    });
    for (const { id } of [dump, physical]) {
      expect(await answer(site, 'backup', 'verify', id, '--restore')).toMatchObject({
        ok: true,
        backup: { id, proven: { level: 'restored', at: expect.stringMatching(TIME) } },
      });
    }
    expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
    // The next plans and drills of this host know how long it takes.
    for (const { engine, id } of [dump, physical]) {
      const [measured] = await openMeasuredRestores(site.places.stateDir).list(engine);
      expect(measured?.id).toContain(id);
      expect(measured?.restoreSeconds).toBeGreaterThan(0);
      expect(measured?.sizeBytes).toBeGreaterThan(10_000);
    }
  });

  it('B3: a held backup outlives retention until it is released; rotation says why; a dry run only says', async () => {
    expect(await answer(site, 'backup', 'hold', dump.id, '--reason', 'audit', '--dry-run')).toMatchObject({
      dryRun: true,
    });
    expect((await answer<{ backup: Backup }>(site, 'backup', 'show', dump.id)).backup.heldUntil).toBeNull();
    expect(
      await refusal(site, 'backup', 'hold', dump.id, '--until', '2031-03-30 02:30', '--reason', 'audit'),
    ).toMatchObject({ exit: 9, code: 'target-ambiguous' });
    expect(await refusal(site, 'backup', 'hold', dump.id)).toMatchObject({ exit: 2, code: 'usage' });
    expect(
      await answer(site, 'backup', 'hold', dump.id, '--until', '2031-01-01T02:00:00+02:00', '--reason', 'audit'),
    ).toMatchObject({ backup: { id: dump.id, heldUntil: '2031-01-01T00:00:00Z' } });

    const second = await run('dump');
    expect(second.rotation).toMatchObject({ remove: [], removed: [] });
    expect(second.rotation.keep.find(({ id }) => id === dump.id)?.reason).toContain('held until');
    expect(await answer(site, 'backup', 'release', dump.id, '--yes')).toMatchObject({ backup: { heldUntil: null } });

    // It is the newest that was restored, and the other one was only verified: it stays for that.
    const kept = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'dump', '--dry-run');
    expect(kept.keep.find(({ id }) => id === dump.id)?.reason).toContain('newest restore-tested');
    const newer = second.backups[0]?.id ?? '';
    await answer(site, 'backup', 'verify', newer, '--restore');

    const before = await records();
    const plan = await answer<RotateOutput & { dryRun: boolean }>(
      site,
      'rotate',
      'mairie',
      '--policy',
      'dump',
      '--dry-run',
    );
    expect(plan).toMatchObject({ dryRun: true, remove: [{ id: dump.id, reason: expect.any(String) }], removed: [] });
    expect(await records()).toEqual(before);
    // F29: what a recovery that waits for its approval needs is in use.
    const waiting = await planned(site, '--to', `backup:${dump.id}`);
    const pinned = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'dump');
    expect(pinned).toMatchObject({ remove: [], removed: [] });
    expect(pinned.keep.find(({ id }) => id === dump.id)?.reason).toContain('in use');
    expect(await answer(site, 'reject', waiting.workflowId, '--reason', 'test')).toMatchObject({ sent: true });
    await reaches(site, waiting.workflowId, 'rejected');

    const done = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'dump');
    expect(done).toMatchObject({ remove: [{ id: dump.id }], removed: [dump.id], keep: [{ id: newer }] });
    expect((await site.backups()).map(({ id }) => id)).not.toContain(dump.id);
    expect(
      (await readdir(join(site.places.backupsDir, 'mairie', 'dump'))).filter((name) => name.startsWith(dump.label)),
    ).toEqual([]);
  });

  it('F30: with nothing verified, nothing is removed', async () => {
    for (let made = 0; made < 2; made++)
      expect(await run('unproven')).toMatchObject({
        backups: [{ proven: null }],
        rotation: { remove: [], removed: [] },
      });
    const { keep, remove } = await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'unproven');
    expect(remove).toEqual([]);
    expect(keep.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('no backup is verified'),
      expect.stringContaining('no backup is verified'),
    ]);
  });

  it('B2: a disabled policy is skipped, said and recorded', async () => {
    const { exit, document, error } = await told<Ran & { skipped: { code: string; reason: string } }>(
      site,
      'backup',
      'run',
      'mairie',
      '--policy',
      'off',
    );
    expect({ exit, code: error?.code }).toEqual({ exit: 9, code: 'policy-disabled' });
    expect(document).toMatchObject({
      backups: [],
      skipped: { code: 'policy-disabled', reason: expect.stringContaining('disabled') },
    });
  });

  it('F15: a dump with a flipped bit fails its proof (exit 8), is quarantined and never offered again', async () => {
    const { backups } = await run('unproven');
    const { id, label } = backups[0] as Backup;
    await writeFile(join(site.places.backupsDir, 'mairie', 'unproven', `${label}.dump`), 'x', { flag: 'r+' });
    const failed = await told<{ ok: boolean }>(site, 'backup', 'verify', id);
    expect({ exit: failed.exit, code: failed.error?.code, ok: failed.document.ok }).toEqual({
      exit: 8,
      code: 'check-failed',
      ok: false,
    });
    expect((await site.backups()).find((backup) => backup.id === id)?.status).toBe('quarantined');
    expect(await refusal(site, 'recover', 'mairie', '--to', `backup:${id}`, '--dry-run')).toMatchObject({
      exit: 9,
      code: 'no-usable-backup',
    });
  });
});

describe('while a backup is under way', () => {
  const jobsUnderWay = async () => {
    const { stateDir } = site.places;
    const operations = [...(await operationsInUse(stateDir, 600_000))];
    const jobs = await Promise.all(operations.map((operation) => readJobs(stateDir, operation)));
    return jobs.flat().filter(({ state }) => state === 'running');
  };

  /** pgBackRest while it is held by SIGSTOP. */
  let stopped: number | null = null;
  afterAll(() => {
    if (stopped !== null) process.kill(stopped, 'SIGCONT');
  });

  it('F29: the same backup and its rotation are exit 7, another engine goes on, a recovery waits; --detach, --timeout and Ctrl-C leave the work alone', async () => {
    const { workflowId, webUi } = await answer<{ workflowId: string; webUi: string; follow: string }>(
      site,
      'backup',
      'run',
      'mairie',
      '--policy',
      'physical',
      '--type',
      'full',
      '--detach',
    );
    expect(webUi).toContain(encodeURIComponent(workflowId));
    // Stopped as soon as it runs: how fast it would be decides nothing from here on.
    await until(async () => {
      const running = (await jobsUnderWay()).find(({ tool, pid }) => tool === 'pgbackrest' && pid !== null);
      if (typeof running?.pid !== 'number') return false;
      process.kill(running.pid, 'SIGSTOP');
      stopped = running.pid;
      return true;
    }, 'pgBackRest runs');
    const view = await statusOf(site, workflowId);
    expect(Object.keys(view)).toEqual(
      expect.arrayContaining([
        'workflowId',
        'kind',
        'cluster',
        'state',
        'waitingFor',
        'plan',
        'phase',
        'progress',
        'jobs',
        'webUi',
      ]),
    );
    expect(view).toMatchObject({
      kind: 'backup',
      cluster: 'mairie',
      state: 'running',
      jobs: [{ tool: 'pgbackrest', starts: 1, attempts: 1, pid: expect.any(Number), key: expect.any(String) }],
    });

    expect(await refusal(site, 'backup', 'run', 'mairie', '--policy', 'physical')).toMatchObject({
      exit: 7,
      code: 'conflict',
    });
    expect(await refusal(site, 'rotate', 'mairie', '--policy', 'physical')).toMatchObject({
      exit: 7,
      code: 'lock-held',
    });
    const late = await told(site, 'watch', workflowId, '--timeout', '1s');
    expect([late.exit, late.error?.code, late.error?.hint]).toEqual([
      124,
      'timeout',
      expect.stringContaining('reprise watch'),
    ]);
    expect((await run('dump')).backups).toHaveLength(1);
    expect(await interruptedWatch(workflowId)).toBe(130);

    const waiting = await planned(site, '--policy', 'dump');
    await approved(site, waiting);
    await site.waitFor(
      async () =>
        (
          await site.session.client.workflow.getHandle(waiting.workflowId).query<OperationStatusView>('status')
        ).waitingFor?.includes('backup of policy physical'),
      'the recovery waits for the backup',
    );
    expect((await statusOf(site, workflowId)).state).toBe('running');

    if (stopped !== null) process.kill(stopped, 'SIGCONT');
    stopped = null;
    const { exit, lines } = await watched(workflowId);
    expect(exit).toBe(0);
    expect(lines.at(-1)).toMatchObject({ schemaVersion: 1, workflowId, state: 'completed' });
    await reaches(site, waiting.workflowId, 'completed');
    expect(
      (await site.backups()).filter(({ engine, status }) => engine === 'pgbackrest' && status === 'complete'),
    ).toHaveLength(2);
  });

  async function watched(workflowId: string): Promise<{ exit: number; lines: unknown[] }> {
    const { code, stdout } = await site.cli('watch', workflowId, '--json');
    return {
      exit: code,
      lines: stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    };
  }

  function interruptedWatch(workflowId: string): Promise<number | null> {
    const { address, namespace } = site.session.settings;
    const main = new URL('../../../dist/main.js', import.meta.url).pathname;
    const child = spawn(
      process.execPath,
      [
        main,
        '--config',
        site.places.configFile,
        '--address',
        address,
        '--namespace',
        namespace,
        'watch',
        workflowId,
        '--json',
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    child.stdout.once('data', () => child.kill('SIGINT'));
    return new Promise((resolve) => child.once('exit', resolve));
  }
});

it("D5: schedules are planned, applied, listed, paused, triggered and resumed; an operator's pause survives apply", async () => {
  interface Line {
    readonly id: string;
    readonly paused: boolean;
    readonly nextRuns: readonly string[];
  }
  const changes = ({ schedules }: { schedules: readonly { id: string; action: string }[] }) =>
    Object.fromEntries(schedules.map(({ id, action }) => [id, action]));
  const id = 'reprise/mairie/dump';
  expect(changes(await answer(site, 'schedule', 'plan'))).toMatchObject({
    [id]: 'create',
    'reprise/mairie/physical': 'create',
  });
  expect((await answer<{ schedules: Line[] }>(site, 'schedule', 'list')).schedules).toEqual([]);
  await answer(site, 'schedule', 'apply');
  expect(changes(await answer(site, 'schedule', 'plan'))).toMatchObject({ [id]: 'none' });
  expect(await answer(site, 'schedule', 'pause', 'mairie/dump', '--reason', 'maintenance')).toMatchObject({
    schedule: { id, paused: true },
  });
  await answer(site, 'schedule', 'apply');
  const listed = (await answer<{ schedules: Line[] }>(site, 'schedule', 'list')).schedules.find(
    (line) => line.id === id,
  );
  expect(listed).toMatchObject({
    paused: true,
    nextRuns: [expect.stringContaining(`T${dueHour}:30:00`), expect.anything(), expect.anything()],
  });
  expect(await answer(site, 'schedule', 'resume', id)).toMatchObject({ schedule: { paused: false } });
  const { workflowId } = await answer<{ workflowId: string }>(site, 'schedule', 'trigger', id);
  expect((await reaches(site, workflowId, 'completed')).kind).toBe('backup');
  expect(await refusal(site, 'schedule', 'pause', 'mairie/dumb', '--reason', 'x')).toMatchObject({
    exit: 6,
    code: 'not-found',
  });
  expect(await refusal(site, 'schedule', 'pause', id)).toMatchObject({ exit: 2, code: 'usage' });
});

it('R12: of three databases one is dropped: the others are dumped and verified, exit 3, told and recorded; a physical backup goes on', async () => {
  for (const worker of site.workers) await worker.kill();
  await editConfig(site, (text) =>
    text
      .replace('databases: [mairie]', 'databases: [mairie, gone, second]')
      .replace(
        /^ {6}unproven:.*$/m,
        (line) =>
          `${line}\n      turns: { engine: logical, repository: local, proof: { level: verify, restore_every: 2 } }`,
      ),
  );
  await site.query('CREATE DATABASE second', 'postgres');
  await site.startWorker();
  const { exit, document, error } = await told<Ran & { failed: unknown }>(
    ...([site, 'backup', 'run', 'mairie', '--policy', 'dump'] as const),
  );
  expect([exit, error?.code, error?.message]).toEqual([3, 'partly-done', expect.stringContaining('database "gone"')]);
  expect(document.backups.map(({ database, proven }) => [database, proven?.level])).toEqual([
    ['mairie', 'verified'],
    ['second', 'verified'],
  ]);
  expect(document.failed).toMatchObject([{ database: 'gone', backupId: null, code: 'not-found' }]);
  expect((await run('physical', '--type', 'incr')).backups).toMatchObject([{ proven: { level: 'verified' } }]);
});

it('B1: two policies that start in the same second make two backups', async () => {
  const startedAt = new Date().toISOString();
  const made = (policy: string) => {
    const step = {
      cluster: 'mairie',
      operationId: `same-second-${policy}`,
      workflowId: 'test',
      order: { policy, type: 'auto' },
      startedAt,
      requester: 'test',
    };
    const options = {
      id: step.operationId,
      taskQueue: heavyQueue('db1'),
      args: [step],
      // A task that goes to a poll which has just ended is lost: it is given out again.
      heartbeatTimeout: '60s',
      scheduleToCloseTimeout: '10m',
    };
    return (site.session.client.activity.execute('runBackup', options) as Promise<PartlyMade>).then(({ made }) => made);
  };
  const [dump, unproven] = await Promise.all([made('dump'), made('unproven')]);
  expect(new Set([...dump, ...unproven]).size).toBe(dump.length + unproven.length);
  // Tried again, as after a lost worker: the same backups.
  expect(await made('dump').catch(String)).toEqual(dump);
});

it('B3: restore_every has each second backup of a database restored, and check says how old the newest one is', async () => {
  const levels: unknown[] = [];
  for (let turn = 1; turn <= 3; turn++) {
    const { document } = await told<Ran>(site, 'backup', 'run', 'mairie', '--policy', 'turns');
    levels.push(document.backups.map(({ proven }) => proven?.level));
  }
  expect(levels).toEqual([
    ['verified', 'verified'],
    ['restored', 'restored'],
    ['verified', 'verified'],
  ]);
  const { document } = await told<{ findings: { check: string; level: string }[] }>(site, 'check', 'mairie');
  expect(document.findings).toContainEqual(
    expect.objectContaining({ check: 'restore/mairie/turns/mairie', level: 'ok' }),
  );
});

it('F42: everything that was written is owner-only; nothing is left behind', async () => {
  const written = await snapshot(site.places.stateDir, site.places.backupsDir);
  expect(Object.keys(written).length).toBeGreaterThan(30);
  expect(Object.entries(written).filter(([, text]) => (Number.parseInt(text, 8) & 0o077) !== 0)).toEqual([]);
  expect(await site.leftovers()).toEqual({ processes: [], files: [], databases: [] });
});
