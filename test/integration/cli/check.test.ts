import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { TemporalSession } from '../../../src/client/connect.js';
import { runInspection } from '../../../src/client/inspect.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Finding } from '../../../src/domain/findings.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, editConfig, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

interface Looked {
  readonly status?: string;
  readonly findings: readonly Finding[];
}

let site: Site;
const doctor = () => told<Looked>(site, 'doctor');
const check = () => told<Looked>(site, 'check', 'mairie');
const nagios = async (...argv: string[]) => {
  const { code, stdout, stderr } = await site.cli('check', ...argv, '--nagios');
  return { code, line: stdout, stderr };
};
const of = ({ findings }: Looked, what: string): Finding | undefined =>
  findings.find((finding) => finding.check === what);

/** Commits, and waits until the segment that holds it is in the archive; its name. */
async function archiveMore(): Promise<string> {
  await site.commit();
  const { rows } = await site.query(
    'SELECT pg_walfile_name(pg_current_wal_lsn()) AS segment, pg_switch_wal()',
    'postgres',
  );
  const { segment } = rows[0] as { segment: string };
  await site.waitFor(async () => {
    const { rows: found } = await site.query(
      'SELECT last_archived_wal >= $$' + segment + '$$ AS there FROM pg_stat_archiver',
      'postgres',
    );
    return (found[0] as { there: boolean | null }).there === true;
  }, `${segment} is archived`);
  return segment;
}

/** Rows in the lists of the Web UI: workflows but the locks, which each operation may start, and activities of their own. */
async function rows(): Promise<{ readonly workflows: number; readonly activities: number }> {
  const { workflow, activity } = site.session.client;
  const { count } = await workflow.count("WorkflowType NOT IN ('clusterLock', 'hostSlots')");
  return { workflows: count, activities: (await activity.count('')).count };
}

/** The same once the lists have followed what earlier tests did. */
async function settledRows(): ReturnType<typeof rows> {
  let seen = await rows();
  for (let same = 0; same < 5; await sleep(400)) {
    const now = await rows();
    same = isDeepStrictEqual(now, seen) ? same + 1 : 0;
    seen = now;
  }
  return seen;
}

/** As older servers answer, and those that have it turned off. */
function withoutStandaloneActivities(session: TemporalSession): TemporalSession {
  const refused = Object.assign(new Error('12 UNIMPLEMENTED: Standalone activity is disabled'), { code: 12 });
  const { workflow } = session.client;
  return { ...session, client: { workflow, activity: { start: () => Promise.reject(refused) } } as never };
}

beforeAll(async () => {
  site = await Site.create();
});

describe('without a worker', () => {
  it('doctor looks itself, and says which queues nobody polls; the check is CRITICAL, since no backup would be taken', async () => {
    const { exit, document } = await doctor();
    expect(exit).toBe(8);
    expect(of(document, 'cluster/mairie/connection')).toMatchObject({ level: 'ok' });
    for (const queue of ['reprise', 'reprise-db1', 'reprise-db1-heavy', 'reprise-db1-recovery', 'reprise-db1-watch']) {
      expect(of(document, `worker/${queue}`)).toMatchObject({
        level: 'problem',
        fix: expect.stringContaining(queue === 'reprise' ? 'reprise worker' : '--host db1`'),
      });
    }
    expect(await nagios()).toMatchObject({
      code: 2,
      line: expect.stringMatching(/^REPRISE CRITICAL - no worker polls the queue reprise[^|\n]*\n$/),
      stderr: '',
    });
    expect(await nagios('--address', '127.0.0.1:1')).toMatchObject({
      code: 2,
      line: expect.stringContaining('no Temporal server answers'),
    });
    expect(await nagios('marie')).toMatchObject({
      code: 3,
      line: expect.stringMatching(/^REPRISE UNKNOWN - there is no cluster "marie"/),
    });
  });
});

describe('with a worker', () => {
  beforeAll(async () => {
    await site.startWorker();
  });

  it('D5, D7: doctor finds clocks, queues and the configuration of the worker in order, and schedules that are not there', async () => {
    const { document } = await doctor();
    expect(of(document, 'host/db1/clock')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining("Temporal's"),
    });
    expect(of(document, 'cluster/mairie/clock')).toMatchObject({ level: 'ok' });
    expect(of(document, 'host/db1/config')).toMatchObject({ level: 'ok' });
    expect(of(document, 'worker/reprise-db1')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('reprise-db1, -heavy, -recovery, -media, -watch'),
    });
    expect(of(document, 'schedule/reprise/mairie/dump')).toMatchObject({
      level: 'warning',
      fix: 'reprise schedule apply',
    });
    expect(document.findings.every(({ level, fix }) => (level === 'ok') === (fix === null))).toBe(true);
  });

  it('D5: a schedule that is paused is said with how to resume it; then all is as the config says', async () => {
    await answer(site, 'schedule', 'apply');
    await answer(site, 'schedule', 'pause', 'mairie/dump', '--reason', 'maintenance');
    expect(of((await doctor()).document, 'schedule/reprise/mairie/dump')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('maintenance'),
      fix: 'reprise schedule resume reprise/mairie/dump',
    });
    await answer(site, 'schedule', 'resume', 'mairie/dump');
    expect(of((await doctor()).document, 'schedules')).toMatchObject({ level: 'ok' });
  });

  it('no backup is a problem (exit 8, CRITICAL); fresh and proven ones are not', async () => {
    const none = await check();
    expect([none.exit, none.error?.code, none.document.status]).toEqual([8, 'check-failed', 'critical']);
    expect(of(none.document, 'backup/mairie/dump')).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining('reprise backup run mairie --policy dump'),
    });
    await Promise.all([site.backUp('dump'), site.backUp('physical')]);
    const { exit, document } = await check();
    expect(document.findings.filter(({ level }) => level === 'problem')).toEqual([]);
    expect(exit).toBe(0);
    expect(of(document, 'backup/mairie/dump/mairie')).toMatchObject({ level: 'ok' });
    expect(of(document, 'proof/mairie/physical')).toMatchObject({ level: 'ok' });
    expect(of(document, 'cluster/mairie/archiving')).toMatchObject({
      level: 'ok',
      message: expect.stringContaining('WAL is archived'),
    });
    const { code, line, stderr } = await nagios();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(line).toMatch(
      /^REPRISE OK - 2 newest backups, the oldest of them [^|\n]+ \| ('mairie\/(dump\/mairie|physical)( proof)? age'=\d+s;\d*;\d*;0 ?){4}\n$/,
    );
  });

  it('O11: what people ask leaves no row behind, whether it is answered or refused, also on a server without standalone activities', async () => {
    const before = await settledRows();
    await nagios();
    await told(site, 'backup', 'list', 'mairie');
    await told(site, 'kept', 'list');
    const refused = ['recover', 'mairie', '--policy', 'physical', '--to', '2020-01-01T00:00:00Z', '--dry-run'];
    expect((await told(site, ...refused)).error?.code).toBe('target-before-backup');
    await site.waitFor(async () => isDeepStrictEqual(await rows(), before), 'nothing is left of the reads');

    const { kept } = await runInspection<'kept'>(withoutStandaloneActivities(site.session), { kind: 'kept' });
    expect(kept).toEqual([]);
    await expect(
      runInspection<'backup'>(withoutStandaloneActivities(site.session), { kind: 'backup', id: 'mairie:logical:x' }),
    ).rejects.toThrow();
    await site.waitFor(async () => isDeepStrictEqual(await rows(), before), 'nothing is left of the short workflows');
    // Who held a backup stays to be seen.
    const [backup] = (await site.backUp('dump')).backups;
    await answer(site, 'backup', 'hold', backup?.id ?? '', '--reason', 'audit');
    await site.waitFor(async () => (await rows()).activities === 1, 'the write is there');
  });

  it('F15: a quarantined backup is a warning: exit 0, WARNING', async () => {
    const { backups } = await site.backUp('dump');
    const { id, label } = backups[0] as Backup;
    await writeFile(join(site.places.backupsDir, 'mairie', 'dump', `${label}.dump`), 'x', { flag: 'r+' });
    await told(site, 'backup', 'verify', id);
    const { exit, document } = await check();
    expect([exit, document.status]).toEqual([0, 'warning']);
    expect(of(document, 'backup/mairie/quarantined')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining(id),
    });
    expect(await nagios('mairie')).toMatchObject({
      code: 1,
      line: expect.stringMatching(/^REPRISE WARNING - 1 backup of mairie is quarantined/),
    });
  });

  it('F7: an archive_command that fails is a problem until it works again', async () => {
    await site.query("ALTER SYSTEM SET archive_command = 'false'", 'postgres');
    await site.query('SELECT pg_reload_conf()', 'postgres');
    await site.query("SELECT pg_create_restore_point('x'); SELECT pg_switch_wal()", 'postgres');
    const failing = await site.waitFor(async () => {
      const found = of((await check()).document, 'cluster/mairie/archiving');
      return found?.level === 'problem' && found;
    }, 'the failure is found');
    expect(failing.message).toMatch(/archiving fails, last at .*: \d+ segments? waits? to be archived since/);
    await site.query('ALTER SYSTEM RESET archive_command', 'postgres');
    await site.query('SELECT pg_reload_conf()', 'postgres');
    await site.waitFor(
      async () => of((await check()).document, 'cluster/mairie/archiving')?.level === 'ok',
      'the archive works again',
    );
  });

  it('F23, K2, O16: between which instants any moment can be recovered, both as --to takes them, and a hole in the WAL', async () => {
    await site.backUp('physical');
    const segments = [await archiveMore(), await archiveMore(), await archiveMore()];
    const whole = of((await check()).document, 'wal/mairie/physical');
    expect(whole).toMatchObject({
      level: 'ok',
      message: expect.stringMatching(/every time from \S+Z to \S+Z, .* ago can be recovered, without a gap/),
    });
    // O16: what is printed as recoverable is taken as it is printed.
    for (const time of whole?.message.match(/\d{4}-\S+Z/g) ?? [])
      await answer(site, 'recover', 'mairie', '--policy', 'physical', '--to', time, '--dry-run');
    // A segment vanishes from the middle of the archive.
    const segment = segments[1] as string;
    const archive = join(site.root, 'pgb', 'repo', 'archive');
    const [stored] = (await readdir(archive, { recursive: true })).filter((path) => path.includes(segment));
    await rm(join(archive, stored as string));
    const holed = of((await check()).document, 'wal/mairie/physical');
    expect(holed).toMatchObject({ level: 'problem', message: expect.stringContaining(segment) });
    expect(holed?.fix).toContain('reprise backup run mairie --policy physical');
    await site.backUp('physical');
    expect(of((await check()).document, 'wal/mairie/physical')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining(segment),
    });
  });

  it.each([
    [['backup', 'list'], /physical/],
    [
      ['backup', 'run', 'mairie', '--policy', 'dump', '--dry-run'],
      /^would take a backup of mairie by policy dump\nengine/,
    ],
    [['schedule', 'list'], /reprise\/mairie\/dump/],
    [['schedule', 'plan'], /nothing to change/],
    [
      ['schedule', 'pause', 'mairie/dump', '--reason', 'a long maintenance of the storage of the whole town hall'],
      /paused/,
    ],
    [['schedule', 'list'], /paused(?!.*T\d\d:30)/],
    [['kept', 'list'], /nothing is kept/],
    [['incident', 'list'], /no incidents/],
    [['cluster', 'list'], /mairie/],
    [['rotate', 'mairie', '--policy', 'physical', '--dry-run'], /keep/],
    [['status'], /operation|WORKFLOW/],
  ])(
    'O16: %j fits a terminal of 80 columns',
    async (argv, wanted) => {
      const { stdout, stderr } = await site.cliAt(80, ...argv);
      expect(stdout).toMatch(wanted);
      expect([stdout.split('\n').filter((line) => line.length > 80), stderr]).toEqual([[], '']);
    },
    120_000,
  );

  it('drift: a configuration that the worker has not read is said', async () => {
    await editConfig(site, (text) => text.replace('approve_within: 4h', 'approve_within: 5h'));
    expect(of((await doctor()).document, 'host/db1/config')).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('another configuration'),
    });
  });

  it('the terminal shows findings below what they are about, what is wrong first, and a count', async () => {
    const { stdout } = await site.cli('doctor');
    expect(stdout).toMatch(/^cluster mairie$/m);
    expect(stdout).toMatch(/^ {2}warning {2}.*\n {13}fix: \S/m);
    expect(stdout).toMatch(/\n\d+ problems?, \d+ warnings?, \d+ ok\n$/);
  });

  it('O19: a worker that was killed is a problem although the server still lists it, with when it was last heard', async () => {
    await site.waitFor(
      async () => of((await doctor()).document, 'worker/reprise')?.message.includes('; it answers') === true,
      'it answers',
    );
    for (const worker of site.workers) await worker.kill();
    const { document } = await check();
    const found = of(document, 'worker/reprise-db1');
    // Its polls are listed for 75 s; on a machine that stands still for so long they are over.
    expect(found).toMatchObject({ level: 'problem', fix: expect.stringContaining('reprise worker --host db1') });
    expect(found?.message).toMatch(/does not answer, last heard .+ ago|no worker polls/);
    expect(document.status).toBe('critical');
  });
});
