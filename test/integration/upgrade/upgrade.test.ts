import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { approve } from '../../../src/client/decide.js';
import { statusOf } from '../../../src/client/status.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { queryNames } from '../../../src/domain/operation/names.js';
import { tempDir } from '../../helpers/temp.js';
import { Site } from '../../helpers/site.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** An installation of another version: the same program, whose workflow bundle has another digest. */
async function installationOf(version: string): Promise<string> {
  const directory = join(await tempDir('installation'), 'reprise');
  await mkdir(directory, { mode: 0o755 });
  await cp(join(root, 'dist'), join(directory, 'dist'), { recursive: true });
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
  const description = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as object;
  await writeFile(join(directory, 'package.json'), JSON.stringify({ ...description, version }));
  const bundle = join(directory, 'dist/workflow-bundle.js');
  await writeFile(bundle, `/* ${version} */\n${await readFile(bundle, 'utf8')}`);
  return join(directory, 'dist/main.js');
}

/** The build that a workflow runs on, and its current one. */
async function buildOf(site: Site, workflowId: string): Promise<string> {
  const { raw } = await site.session.client.workflow.getHandle(workflowId).describe();
  return raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion?.buildId ?? '';
}
async function currentBuild(site: Site): Promise<string> {
  const { client, settings } = site.session;
  const { workerDeploymentInfo } = await client.workflowService.describeWorkerDeployment({
    namespace: settings.namespace,
    deploymentName: 'reprise',
  });
  return workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId ?? '';
}
const planOf = (site: Site, workflowId: string): Promise<Plan> =>
  site.waitFor(
    async () => site.session.client.workflow.getHandle(workflowId).query<Plan | null>(queryNames.plan),
    `${workflowId} has a plan`,
  );

describe('L14, F53: an upgrade', () => {
  it('a recovery that waits on the old build is approved and executed after a restart with the new one', async () => {
    const older = await installationOf('0.0.9');
    const site = await Site.create();
    const old = await site.startWorker({}, { program: older });
    await site.backUp('dump');
    const work = await site.recover('dump');
    const plan = await planOf(site, work.workflowId);
    expect(await buildOf(site, work.workflowId)).toMatch(/^0\.0\.9-[0-9a-f]{12}$/);

    // Both run: what was begun stays with its build, what is new runs on the new one.
    await site.startWorker();
    await site.waitFor(async () => !(await currentBuild(site)).startsWith('0.0.9') || null, 'the new build is current');
    // The server's queues hear of it a moment later.
    await site.waitFor(async () => {
      const rotation = await site.startRotation('dump');
      await rotation.handle.result();
      return (await buildOf(site, rotation.workflowId)) === (await currentBuild(site));
    }, 'what is new runs on the new build');
    expect((await planOf(site, work.workflowId)).digest).toBe(plan.digest);
    expect(await buildOf(site, work.workflowId)).toMatch(/^0\.0\.9-/);

    // The old one is gone: the new one continues what it began.
    old.child.kill('SIGTERM');
    await old.exited();
    expect((await statusOf(site.session, work.workflowId, { jobs: false })).state).toMatch(
      /^waiting-(approval|worker)$/,
    );
    await site.waitFor(
      async () => approve(site.session, work.workflowId, { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'test' }),
      'the approval is accepted',
    );
    expect(await site.recovered(work)).toMatchObject({ state: 'completed' });
    expect(await buildOf(site, work.workflowId)).toBe(await currentBuild(site));
  });

  it('a restart with the older package works too: nothing waits for the newer one', async () => {
    const older = await installationOf('0.0.9');
    const site = await Site.create();
    const newer = await site.startWorker();
    await site.backUp('dump');
    newer.child.kill('SIGTERM');
    await newer.exited();
    await site.startWorker({}, { program: older });
    await site.backUp('dump');
    expect(await currentBuild(site)).toMatch(/^0\.0\.9-/);
  });
});
