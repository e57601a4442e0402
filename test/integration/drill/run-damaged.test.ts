import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { DrillOutcome, RegisterEntry } from '../../../src/domain/drill/drill.js';
import { DamageGround, damageNewest, evidenceKey } from '../../helpers/drill-damages.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, told, toldOfAll } from '../../helpers/site-cli.js';

failOnLeakedProcesses();

it('P4, P5: a drill of damaged backups fails by its own workflow, of each engine, with sealed evidence and an entry in the register; one of new backups passes and closes it', async () => {
  const ground = await DamageGround.create();
  const { site } = ground;
  const run = () =>
    told<DrillOutcome>(site, 'drill', 'run', 'mairie', '--engine', 'base', '--engine', 'physical', '--at', 'latest');
  const register = async () =>
    (await toldOfAll<{ register: readonly RegisterEntry[] }>(site, 'drill', 'list', 'mairie')).register;

  await ground.canary();
  await ground.backUp('base');
  await ground.backUp('physical');
  // What a dump holds is looked at by its restore; without its WAL a physical backup cannot even be planned.
  await damageNewest.dump(ground);
  await damageNewest.wal(ground);
  const damaged = await run();
  expect({ exit: damaged.exit, document: damaged.document, error: damaged.error }).toMatchObject({
    exit: 8,
    document: {
      verdict: 'fail',
      reason: expect.stringMatching(/physical: .*(WAL|segment).*; base: .*(SHA-256|damaged|is not what)/s),
      restores: [],
      evidence: { path: expect.any(String), signed: true },
      notTested: expect.arrayContaining([expect.objectContaining({ kind: 'policy', name: 'physical' })]),
    },
  });
  const [entry] = await register();
  expect(entry).toMatchObject({ what: 'drill-failed', closedBy: null, policies: ['base', 'physical'] });
  expect((await toldOfAll<{ backups: { status: string }[] }>(site, 'backup', 'list', 'mairie')).backups).toContainEqual(
    expect.objectContaining({ policy: 'base', status: 'quarantined' }),
  );

  await ground.canary();
  await ground.backUp('base');
  await ground.backUp('physical');
  const good = await run();
  expect(good.document.reason).toBeNull();
  expect(good).toMatchObject({
    exit: 0,
    document: { verdict: 'pass', restores: [{ policy: 'base' }, { policy: 'physical' }] },
  });
  expect(await register()).toContainEqual(expect.objectContaining({ id: entry?.id, closedBy: good.document.drillId }));
  const evidence = join(site.places.backupsDir, 'mairie', 'evidence');
  expect(
    await answer(site, 'drill', 'evidence', evidence, '--verify', '--public-key', `${evidenceKey(site)}.pub`),
  ).toMatchObject({
    ok: true,
    drills: [
      { sequence: 1, verdict: 'fail' },
      { sequence: 2, verdict: 'pass' },
    ],
  });
});
