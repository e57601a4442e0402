import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { RecoveryLine } from '../../../src/domain/operation/inspections.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import type { RotateOutput } from '../../../src/domain/retention/retention.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, editConfig, planned, reaches, refusal, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;

beforeAll(async () => {
  site = await Site.create({ retention: '{ count: 1, min_proven: 1 }', proof: 'verify' });
  await site.startWorker();
});

async function restarted(change: (text: string) => string): Promise<void> {
  await site.workers.at(-1)?.stop();
  await editConfig(site, change);
  await site.startWorker();
}

it('O7: whoever may not approve is refused before the plan is shown, with the command of who may; a plan that nobody can approve says so', async () => {
  await site.backUp('dump');
  const asked = await planned(site, '--policy', 'dump', '--by', 'ops');
  const { code, stderr } = await site.cli('approve', asked.workflowId, '--by', 'postgres', '--reason', 'x', '--yes');
  expect(code).toBe(9);
  expect(stderr).toContain('postgres may not approve recover for mairie');
  expect(stderr).toContain(
    `dba may: reprise approve ${asked.workflowId} --plan ${asked.plan.digest.slice(0, 12)} --by dba`,
  );
  expect(stderr).not.toContain('requested by');
  expect((await site.cli('approve', asked.workflowId, '--by', 'dba', '--reason', 'x', '--dry-run')).stderr).toContain(
    'requested by',
  );
  // Who gave no name is told which one was taken.
  const { hint } = await refusal(site, 'approve', asked.workflowId, '--plan', asked.plan.digest, '--reason', 'x');
  expect(hint).toMatch(/ask one of these people: dba; you were taken for \S+; to approve as somebody else: --by NAME/);
  // Where nobody can be asked, the hint is the whole command.
  const unattended = await refusal(site, 'approve', asked.workflowId, '--by', 'dba', '--reason', 'it is lost');
  expect(unattended).toMatchObject({ exit: 9, code: 'confirmation-needed' });
  expect(unattended.hint).toContain(
    `reprise approve ${asked.workflowId} --plan ${asked.plan.digest.slice(0, 12)} --by dba --reason 'it is lost' --config`,
  );
  await answer(site, 'reject', asked.workflowId, '--reason', 'test');

  const { stdout } = await site.cli('recover', 'mairie', '--policy', 'dump', '--by', 'dba', '--dry-run');
  expect(stdout).toMatch(/may approve\s+nobody: who asked for it may not/);
  expect(stdout).toContain('this plan cannot be approved: dba asked for it');
});

it('O8: doctor speaks of the file that it reads, not of the one that the worker was started with', async () => {
  await editConfig(site, (text) => text.replace('databases: [mairie]', 'databases: [mairie, gone]'));
  const { document } = await told<{ findings: { check: string; message: string }[] }>(site, 'doctor');
  expect(document.findings.filter(({ check }) => check === 'cluster/mairie/databases')).toMatchObject([
    { message: expect.stringContaining('has no database "gone"') },
  ]);
  expect(document.findings.filter(({ check }) => check === 'host/db1/config')).toHaveLength(1);
  // The clock of the worker's host is what it is, whichever file it has.
  expect(document.findings.filter(({ check }) => check === 'host/db1/clock')).toHaveLength(1);
  await editConfig(site, (text) => text.replace('databases: [mairie, gone]', 'databases: [mairie]'));
});

it('O6: a renamed policy has its earlier backups: they are verified, planned from and rotated; without previous_names they are named', async () => {
  const old = (await answer<{ backups: Backup[] }>(site, 'backup', 'list', 'mairie')).backups[0] as Backup;

  await restarted((text) => text.replace('      dump: {', '      nightly: {'));
  const orphans = [{ policy: 'dump', engine: 'logical', repository: 'local', backups: 1 }];
  expect(await answer<RotateOutput>(site, 'rotate', 'mairie', '--policy', 'nightly', '--dry-run')).toMatchObject({
    keep: [],
    orphans,
  });
  const { document } = await told<{ findings: { check: string; fix: string }[] }>(site, 'doctor');
  expect(document.findings.filter(({ check }) => check.startsWith('cluster/mairie/orphans'))).toMatchObject([
    { check: 'cluster/mairie/orphans/dump', fix: expect.stringContaining('previous_names: [dump] in policy nightly') },
  ]);

  await restarted((text) => text.replace('      nightly: {', '      nightly: { previous_names: [dump],'));
  expect(await answer(site, 'backup', 'verify', old.id)).toBeDefined();
  const { plan } = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--policy', 'nightly', '--dry-run');
  expect(plan.binding).toMatchObject({ policy: 'nightly', backups: [{ id: old.id }] });

  const taken = await answer<{ backups: Backup[]; rotation: RotateOutput }>(
    site,
    ...['backup', 'run', 'mairie', '--policy', 'nightly'],
  );
  expect(taken.rotation).toMatchObject({ removed: [old.id] });
  expect(taken.rotation.orphans).toBeUndefined();
  const files = async (policy: string) =>
    (await readdir(join(site.places.backupsDir, 'mairie', policy))).filter((name) => name.includes('_full_'));
  expect([await files('dump'), (await files('nightly')).length]).toEqual([[], expect.any(Number)]);
});

it('O6: the same for an engine whose backups lie where its own tool puts them', async () => {
  const { backups } = await site.backUp('physical');
  const id = backups[0]?.id ?? '';
  const listed = async () => (await answer<{ backups: Backup[] }>(site, 'backup', 'list', 'mairie')).backups;
  const ofPgbackrest = async () => (await listed()).filter(({ engine }) => engine === 'pgbackrest');
  const orphansOf = async () =>
    (await told<{ findings: { check: string; fix: string }[] }>(site, 'doctor')).document.findings.filter(({ check }) =>
      check.startsWith('cluster/mairie/orphans'),
    );

  await restarted((text) => text.replace('      physical: {', '      base: {'));
  expect(await orphansOf()).toMatchObject([
    {
      check: 'cluster/mairie/orphans/physical',
      fix: expect.stringContaining('previous_names: [physical] in policy base'),
    },
  ]);
  await restarted((text) => text.replace('      base: {', '      base: { previous_names: [physical],'));
  expect(await orphansOf()).toEqual([]);
  expect(await ofPgbackrest()).toMatchObject([{ id, policy: 'base', status: 'complete' }]);
  const { plan } = await answer<{ plan: Plan }>(site, 'recover', 'mairie', '--policy', 'base', '--dry-run');
  expect(plan.binding).toMatchObject({ policy: 'base', backups: [{ id }] });
  const taken = await answer<{ backups: Backup[]; rotation: RotateOutput }>(
    site,
    ...['backup', 'run', 'mairie', '--policy', 'base', '--type', 'full'],
  );
  expect(taken.rotation).toMatchObject({ removed: [id] });
  expect(await ofPgbackrest()).toMatchObject([{ id: taken.backups[0]?.id }]);
});

it('O18: recover list shows past recoveries: when, target, method, result, report', async () => {
  const [rejected] = (await answer<{ recoveries: RecoveryLine[] }>(site, 'recover', 'list')).recoveries;
  expect(rejected).toMatchObject({ result: 'not-executed', report: null, requester: 'ops' });
  const done = await planned(site, '--policy', 'nightly', '--by', 'ops');
  await approved(site, done);
  await reaches(site, done.workflowId, 'completed');
  const { recoveries } = await answer<{ recoveries: RecoveryLine[] }>(site, 'recover', 'list', 'mairie');
  expect(recoveries).toHaveLength(2);
  expect(recoveries[1]).toMatchObject({
    ...{ workflowId: done.workflowId, cluster: 'mairie', policy: 'nightly', into: 'in-place', result: 'recovered' },
    target: { requested: 'latest', reached: expect.any(String) },
    report: expect.stringContaining('incidents/'),
  });
  const { stdout } = await site.cli('recover', 'list');
  expect(stdout).toContain(`reprise incident report ${done.workflowId}`);
  expect((await site.cli('incident', 'report', done.workflowId)).code).toBe(0);
  expect((await refusal(site, 'recover', 'list', 'mairy')).code).toBe('not-found');
  expect((await refusal(site, 'recover', 'mairie', 'mairie')).code).toBe('usage');
});
