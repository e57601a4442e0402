import type { DrillCheck, DrillOutcome, DrillPlan } from '../../domain/drill/drill.js';
import { type DrillEnding, drillVerdict } from '../../domain/drill/verdict.js';
import { RepriseError } from '../../domain/errors.js';
import { majorOf } from '../../domain/backup/other-cluster.js';
import { measuredDrill } from '../../domain/plan/predict-duration.js';
import { redact } from '../../domain/text/redact.js';
import { openSshSigner } from '../../process/exec/ssh-signing.js';
import { type DrillFailure, type DrillFolder, type KeptRestore, openDrillFolder } from '../../records/drill-folder.js';
import { sealEvidence, sealedManifests, evidenceFolder } from '../../records/evidence/chain.js';
import { NAMESPACE } from '../../records/evidence/manifest.js';
import { openMeasuredRestores } from '../../records/measured-restores.js';
import { drillReport, sentencesOf } from '../../reports/drill/report.js';
import type { WritableStorage } from '../../storage/storage.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import { repositoryOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import { recordDrill } from './register.js';

/** Earlier drills that the trend of a report shows. */
const MOST_EARLIER = 15;
const OUTCOME = 'outcome.json';

/** What a drill has come to: everything that its host has kept. */
interface Kept {
  readonly plan: DrillPlan;
  readonly restores: readonly KeptRestore[];
  readonly checks: readonly DrillCheck[];
  readonly failures: readonly DrillFailure[];
  readonly signOff: DrillOutcome['signOff'];
  readonly texts: ReadonlyMap<string, string>;
}

/** The evidence of a drill: made once on its staging host, then archived, numbered and signed in the catalogue's repository. */
export function evidenceActivities(deps: HostDependencies): Pick<DrillActivities, 'sealEvidence'> {
  return {
    sealEvidence: wrapActivity('sealEvidence', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const folder = openDrillFolder(clusterContext.host.stateDir, step.operationId);
      const kept = await readKept(folder);
      if (kept === null || kept.plan.digest !== step.plan)
        throw new RepriseError(
          'plan-unknown',
          `this host has kept no drill with the plan ${step.plan.slice(0, 12)}`,
          'the evidence is made on the staging host of the drill',
        );
      const outcome = await sealDrill(clusterContext, folder, kept, step, run);
      await keepMeasured(clusterContext, kept);
      const { restores, unrestorable = [] } = kept.plan;
      const policies = [...restores, ...unrestorable].map(({ policy }) => policy);
      await recordDrill(clusterContext, step, outcome, { policies, cancelled: step.ended === 'cancelled' });
      return outcome;
    }),
  };
}

async function readKept(folder: DrillFolder): Promise<Kept | null> {
  const plan = await folder.plan();
  if (plan === null) return null;
  const indexes = [...plan.restores.keys()];
  const restores = await Promise.all(indexes.map((index) => folder.restored(index)));
  const checks = await Promise.all([...indexes, 'cross' as const].map((index) => folder.checks(index)));
  return {
    plan,
    restores: restores.filter((restored) => restored !== null),
    checks: checks.flatMap((found) => found ?? []),
    failures: await folder.failures(),
    signOff: await folder.signOff(),
    texts: await folder.texts(),
  };
}

/** Seals what is kept; repeated, it seals the very same bytes, whatever has changed meanwhile. */
async function sealDrill(
  clusterContext: ClusterContext,
  folder: DrillFolder,
  kept: Kept,
  ending: DrillEnding,
  run: ActivityRun,
): Promise<DrillOutcome> {
  const { deps, cluster, user } = clusterContext;
  const key = deps.config.evidence?.signingKey;
  const signer = key === undefined ? null : await openSshSigner(key, NAMESPACE, run.signal);
  const storage = deps.openStorage(repositoryOf(deps.config, cluster.catalogue), user);
  if ((await folder.evidence()) === null) {
    const history = await earlierDrills(storage, cluster.name, kept.plan.operationId);
    await folder.saveEvidence(
      await filesOf(clusterContext, kept, ending, { history, signer: signer?.fingerprint ?? null }),
    );
  }
  const files = await folder.evidence();
  const outcome = JSON.parse(files?.get(OUTCOME) ?? 'null') as DrillOutcome | null;
  if (files === null || outcome === null)
    throw new RepriseError('internal', `the evidence of drill ${kept.plan.operationId} was lost while it was made`);
  const { verdict, startedAt, finishedAt, drillId } = outcome;
  const about = { cluster: cluster.name, drill: drillId, verdict, startedAt, finishedAt };
  return { ...outcome, evidence: await sealEvidence(storage, { about, files, signer }) };
}

/** Everything that is in the evidence, by its name. */
async function filesOf(
  { deps, cluster, catalogue }: ClusterContext,
  kept: Kept,
  ending: DrillEnding,
  { history, signer }: { readonly history: readonly DrillOutcome[]; readonly signer: string | null },
): Promise<ReadonlyMap<string, string>> {
  const { plan, checks, failures, restores, signOff, texts } = kept;
  const outcome = outcomeOf(kept, ending);
  const { backups } = await catalogue.state();
  const server = backups.find(({ id }) => id === plan.restores[0]?.backups[0]?.id)?.server;
  const policies = plan.restores.flatMap(({ policy }) => cluster.policies[policy] ?? []);
  const versions = (await deps.programVersions?.(policies, server && majorOf(server))) ?? [];
  const { rtoSeconds = null, rpoSeconds = null } = cluster.objectives;
  const asksSignOff = cluster.drill?.signOff !== undefined;
  const report = drillReport(
    { plan, outcome, failures, objectives: { rtoSeconds, rpoSeconds }, versions, asksSignOff, signer, history },
    sentencesOf(deps.config.language),
  );
  return new Map([
    ...texts,
    ['plan.json', json(plan)],
    [OUTCOME, json(outcome)],
    ['timings.json', json({ startedAt: outcome.startedAt, finishedAt: outcome.finishedAt, restores })],
    ['checks.json', json(checks)],
    ['failures.json', json(failures)],
    ['sign-off.json', json({ asked: asksSignOff, signOff })],
    ['not-tested.json', json(plan.notTested)],
    ['versions.json', json({ programs: versions, configuration: plan.configDigest })],
    ['report.md', report.markdown],
    ['report.html', report.html],
    ['README.txt', report.readme],
  ]);
}

function outcomeOf({ plan, restores, checks, signOff }: Kept, ending: DrillEnding): Omit<DrillOutcome, 'evidence'> {
  const { reason } = ending;
  return {
    ...{ drillId: plan.operationId, workflowId: plan.workflowId, cluster: plan.cluster },
    // What a workflow says of itself may quote a tool.
    ...drillVerdict({ ...ending, reason: reason === undefined ? undefined : redact(reason) }, checks, signOff),
    ...{ startedAt: plan.createdAt, finishedAt: new Date().toISOString(), seed: plan.seed },
    restores: restores.map(({ startedAt: _startedAt, readyAt: _readyAt, ...restored }) => ({
      ...restored,
      predicted: plan.restores.find(({ policy }) => policy === restored.policy)?.predicted ?? null,
    })),
    ...{ checks, signOff, notTested: plan.notTested },
    rpoSeconds: rpoOf(plan, restores),
  };
}

/** From the last commit that the best restore to the latest instant brought back to the drill's start; null without one. */
function rpoOf(plan: DrillPlan, restores: readonly KeptRestore[]): number | null {
  const begun = Date.parse(plan.createdAt);
  const losses = restores.flatMap(({ policy, lastCommitAt }) => {
    const { chosen } = plan.restores.find((planned) => planned.policy === policy) ?? {};
    return chosen === 'latest' && lastCommitAt !== null ? [Math.max(0, begun - Date.parse(lastCommitAt)) / 1000] : [];
  });
  return losses.length === 0 ? null : Math.min(...losses);
}

/** Drills that were sealed before, oldest first; one that cannot be read is left out of the trend. */
async function earlierDrills(
  storage: WritableStorage,
  cluster: string,
  drill: string,
): Promise<readonly DrillOutcome[]> {
  const manifests = (await sealedManifests(storage, cluster)).flatMap(({ manifest }) => manifest ?? []);
  const before = manifests.filter((manifest) => manifest.drill !== drill).slice(-MOST_EARLIER);
  const read = before.map(async (manifest) => {
    try {
      const text = await storage.read(`${evidenceFolder(cluster, manifest.drill)}/${OUTCOME}`);
      const outcome = JSON.parse(text.toString('utf8')) as DrillOutcome;
      return Array.isArray(outcome.restores) ? [outcome] : [];
    } catch {
      return [];
    }
  });
  return (await Promise.all(read)).flat();
}

/** What this host learns from a drill for its next predictions. */
async function keepMeasured({ host }: ClusterContext, { plan, restores }: Kept): Promise<void> {
  const measured = openMeasuredRestores(host.stateDir);
  for (const restored of restores) {
    const planned = plan.restores.find(({ policy }) => policy === restored.policy);
    if (planned) await measured.add(measuredDrill(planned, restored, { id: plan.operationId, at: restored.readyAt }));
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;
