import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import type { RotateOutput } from '../../../src/domain/retention/retention.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, editConfig, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;

beforeAll(async () => {
  site = await Site.create({ retention: '{ count: 1, min_proven: 1 }', proof: 'verify' });
  await site.startWorker();
}, 300_000);

async function restarted(change: (text: string) => string): Promise<void> {
  await site.workers.at(-1)?.stop();
  await editConfig(site, change);
  await site.startWorker();
}

it('O6: a renamed policy has its earlier backups: they are verified, planned from and rotated; without previous_names they are named', async () => {
  const { backups } = await site.backUp('dump');
  const old = backups[0] as Backup;

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
}, 300_000);
