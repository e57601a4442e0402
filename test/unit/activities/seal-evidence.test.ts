import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { beforeAll, expect, it } from '@jest/globals';
import { evidenceActivities } from '../../../src/activities/drill/seal-evidence.js';
import { predictedRestore } from '../../../src/activities/measured.js';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { claimOperation } from '../../../src/activities/approval/own-operation.js';
import { openClusterContext } from '../../../src/activities/cluster-context.js';
import type { DrillOutcome, DrillPlan } from '../../../src/domain/drill/drill.js';
import { openDrillFolder } from '../../../src/records/drill-folder.js';
import { openMeasuredRestores } from '../../../src/records/measured-restores.js';
import { verifyEvidence } from '../../../src/records/evidence/verify.js';
import { filesBelow } from '../../helpers/canary.js';
import { sampleDrillOutcome, sampleDrillPlan } from '../../helpers/drill-sample.js';
import { gateSite } from './gate-site.js';

let publicKey: string;
let deps: HostDependencies;
let stateDir: string;
let evidence: string;

beforeAll(async () => {
  const site = await gateSite();
  const signingKey = join(site.root, 'evidence_key');
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', signingKey]);
  publicKey = await readFile(`${signingKey}.pub`, 'utf8');
  stateDir = join(site.root, 'state');
  evidence = join(site.root, 'repository', 'mairie', 'evidence');
  const here = site.deps();
  const mairie = { ...here.config.clusters['mairie'], objectives: { rtoSeconds: 3600 } };
  deps = {
    ...here,
    config: { ...here.config, raci: {}, evidence: { signingKey }, clusters: { mairie } } as HostDependencies['config'],
    programVersions: async () => [{ name: 'Reprise', version: '0.1.0' }],
  };
});

/** A drill whose steps are done; returns how it is sealed. */
async function drilled(operationId: string, plan: DrillPlan = sampleDrillPlan) {
  const folder = openDrillFolder(stateDir, operationId);
  const workflowId = `drill/mairie/${operationId}`;
  await folder.savePlan({ ...plan, operationId, workflowId });
  for (const [index, { predicted: _predicted, ...restored }] of sampleDrillOutcome.restores.entries())
    await folder.saveRestored(index, {
      ...{ ...restored, startedAt: '2026-04-05T02:00:10.000Z', readyAt: '2026-04-05T02:25:44.000Z' },
    });
  for (const check of sampleDrillOutcome.checks)
    if (check.evidence !== undefined) await folder.keepText(check.evidence, '{"tables": 412}\n');
  await folder.saveChecks(0, sampleDrillOutcome.checks);
  await folder.keepText('logs/restore-1/server.txt', 'ready\n');
  const step = { cluster: 'mairie', operationId, workflowId };
  const running = new MockActivityEnvironment(
    { workflowExecution: { workflowId, runId: `run-of-${operationId}` } },
    { logger: new DefaultLogger('ERROR') },
  );
  const seal = (input: object = {}): Promise<DrillOutcome> =>
    running.run(
      async (given: Parameters<ReturnType<typeof evidenceActivities>['sealEvidence']>[0]) => {
        await claimOperation(await openClusterContext(deps, 'mairie'), given);
        return evidenceActivities(deps).sealEvidence(given);
      },
      { ...step, plan: plan.digest, ended: 'done', ...input } as never,
    );
  return { folder, seal };
}

it('V4, F39: what the steps of a drill have kept becomes its evidence, without secrets and row values, and stays the same', async () => {
  const { folder, seal } = await drilled('op-1');
  await folder.keepText('logs/restore.log', 'password=correct-horse\nDETAIL:  Key (name)=(Jeanne) already exists.\n');
  const failure = { step: 'restoreStaging', restore: 0, code: 'tool-failed', at: '2026-04-05T02:00:00Z' };
  await folder.saveFailure({ ...failure, text: 'token: correct-horse' });
  const outcome = await seal();
  expect(outcome).toMatchObject({
    ...{ verdict: 'pass', reason: null, evidence: { path: 'mairie/evidence/op-1', signed: true } },
    restores: [
      { policy: 'physical', predicted: { samples: 6 } },
      { policy: 'nightly-dump', predicted: null },
    ],
  });
  // Repeated, also where something has changed since.
  await folder.saveChecks(1, [{ ...sampleDrillOutcome.checks[0]!, status: 'failed' }]);
  expect(await seal()).toEqual(outcome);
  expect(await verifyEvidence(evidence, publicKey)).toMatchObject({ ok: true });

  // Recorded once, with where the evidence is.
  const { catalogue } = await openClusterContext(deps, 'mairie');
  expect((await catalogue.state()).drills).toEqual([outcome]);

  const files = await filesBelow(join(evidence, 'op-1'), /^$/);
  for (const [, text] of files) expect(text).not.toMatch(/correct-horse|Jeanne/);
  expect(files.find(([name]) => name.endsWith('failures.json'))?.[1]).toContain('token: ***');
});

it('V4: every file that the page for auditors names is in a real folder of evidence', async () => {
  const { seal } = await drilled('op-page');
  await seal();
  const own = join(evidence, 'op-page');
  const names = (await filesBelow(own, /^$/)).map(([path]) => path.slice(own.length + 1));
  const page = await readFile(new URL('../../../docs/evidence-for-auditors.md', import.meta.url), 'utf8');
  const named = [...page.matchAll(/`([\w./-]+\.(?:json|md|html|txt|sig)|SHA256SUMS)`/g)].map(([, name]) => name ?? '');
  expect(new Set(named).size).toBeGreaterThan(11);
  expect(named.filter((name) => !names.includes(name))).toEqual([]);
  // The other way round: nothing that the page does not explain.
  expect(names.filter((name) => !named.includes(name) && !/^(?:checks|logs)\//.test(name))).toEqual([]);
});

it('V4: a drill that failed, one that was cancelled and one that nobody signed are sealed like others; its reason hides secrets', async () => {
  const failed = await drilled('op-failed');
  expect(await failed.seal({ ended: 'failed', reason: 'restore: password=correct-horse' })).toMatchObject({
    ...{ verdict: 'fail', reason: 'restore: password=***' },
  });
  const cancelled = await drilled('op-cancelled');
  expect(await cancelled.seal({ ended: 'cancelled' })).toMatchObject({ verdict: 'incomplete' });
  const other = await drilled('op-other');
  await expect(other.seal({ plan: 'e'.repeat(64) })).rejects.toMatchObject({ type: 'plan-unknown' });
  // The trend of a report goes back over what was sealed.
  const last = await drilled('op-last');
  await last.seal();
  const report = await readFile(join(evidence, 'op-last', 'report.md'), 'utf8');
  for (const drill of ['op-failed', 'op-cancelled', 'op-last']) expect(report).toContain(`\`${drill}\``);
});

it('P4: what the drill measured is the measure for the next one, on this host and with this engine', async () => {
  const { seal } = await drilled('op-measured');
  await seal();
  const measured = await openMeasuredRestores(stateDir).list('pgbackrest');
  expect(measured.find(({ id }) => id === 'op-measured/physical')).toMatchObject({
    ...{ method: 'data-directory', sizeBytes: 48_200_000_000, restoreSeconds: 1207, replaySeconds: 327 },
  });
  const context = await openClusterContext(deps, 'mairie');
  const [physical] = sampleDrillPlan.restores as [DrillPlan['restores'][number]];
  expect((await predictedRestore(context, physical))?.p50).toBe(1534);
  expect(await predictedRestore(context, { ...physical, engine: 'walg' })).toBeNull();
});
