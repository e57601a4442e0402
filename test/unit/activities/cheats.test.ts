import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { PlannedStep } from '../../../src/activities/api.js';
import { authorize } from '../../../src/activities/approval/authorize.js';
import { openClusterContext, record } from '../../../src/activities/cluster-context.js';
import type { HostActivities } from '../../../src/activities/api.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { planDigest } from '../../../src/records/digest.js';
import { mediaPlanOf } from '../../workflows/well-behaved.js';
import { gateSite } from './gate-site.js';

type Site = Awaited<ReturnType<typeof gateSite>>;

/** One way to get a step done that people did not approve; returns the code it was refused with. */
interface Cheat {
  readonly name: string;
  readonly refused: string;
  /** How many approvers the policy asks for, where one is not enough. */
  readonly approvers?: number;
  attempt(site: Site): Promise<unknown>;
}

/** The steps that change something, each as it is called by hand. */
const DESTRUCTIVE = [
  'stopServer',
  'putAside',
  'restoreFiles',
  'promoteServer',
  'restoreDatabases',
  'swapDatabases',
] as const;

const codeOf = (error: unknown): string => {
  const { type, code } = error as { type?: string; code?: string };
  return type ?? code ?? String(error);
};
/** The one code that all these steps are refused with; `ran` where one was not. */
async function codes(calls: readonly (() => Promise<unknown>)[]): Promise<string> {
  const found = new Set<string>();
  for (const call of calls) found.add(await call().then(() => 'ran', codeOf));
  return [...found].join(', ');
}
const steps = ({ run, activities }: Site, step: PlannedStep, caller?: string): Promise<string> =>
  codes(DESTRUCTIVE.map((name) => () => run<PlannedStep, unknown>(activities[name], step, caller)));
const refusalOf = (answer: { accepted: boolean; code?: string; missing: number }): string =>
  answer.accepted ? `missing ${answer.missing}` : (answer.code ?? 'no code');
const OWN = 'recover/mairie/op-1';
const hoursAgo = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();

async function changeJson(file: string, change: (value: Record<string, unknown>) => unknown): Promise<void> {
  await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>)));
}
/** As if a step of the plan had last run so long ago. */
async function aged({ root }: Site, { digest, binding }: Plan, hours: number): Promise<void> {
  const ledger = join(root, 'state', 'ledger');
  const at = hoursAgo(hours);
  await writeFile(join(ledger, `${digest}.used.json`), JSON.stringify({ operationId: binding.operationId, at }));
  await writeFile(join(ledger, `${digest}.active.json`), JSON.stringify({ at }));
}
const request = (operationId: string) => ({
  cluster: 'mairie',
  operationId,
  workflowId: `recover/mairie/${operationId}`,
  requester: 'ops',
  order: { target: { kind: 'latest' as const }, into: 'in-place', pause: false, policy: 'physical' },
});
const planning = ({ run, activities }: Site, operationId: string, caller?: string) =>
  codes([() => run(activities.planRecovery, request(operationId), caller)]);
const called = <K extends keyof HostActivities>(
  { run, activities }: Site,
  name: K,
  input: Parameters<HostActivities[K]>[0],
  caller?: string,
): Promise<string> => codes([() => run(activities[name] as (input: unknown) => Promise<unknown>, input, caller)]);

const cheats: readonly Cheat[] = [
  {
    name: 'a step with a digest that no plan has',
    refused: 'plan-unknown',
    attempt: async (site) => steps(site, { ...site.step(await site.approved('op-1')), plan: 'f'.repeat(64) }),
  },
  ...['../../../etc/passwd', '', '..', 'FFFF'].map((plan) => ({
    name: `a step with ${JSON.stringify(plan)} for a digest`,
    refused: 'plan-unknown',
    attempt: async (site: Site) => steps(site, { ...site.step(await site.approved('op-1')), plan }),
  })),
  {
    name: 'a step with the 12 digits that people use',
    refused: 'plan-unknown',
    attempt: async (site) => {
      const made = await site.approved('op-1');
      return steps(site, { ...site.step(made), plan: made.digest.slice(0, 12) });
    },
  },
  {
    name: 'a step of a plan that nobody approved',
    refused: 'approval-refused',
    attempt: async (site) => steps(site, site.step(await site.plan('op-1'))),
  },
  {
    name: 'a step with one of two approvals',
    refused: 'approval-refused',
    approvers: 2,
    attempt: async (site) => steps(site, site.step(await site.approved('op-1'))),
  },
  {
    name: 'one person who approves twice, under two spellings',
    refused: 'missing 1',
    approvers: 2,
    attempt: async ({ plan, approve }) => {
      const made = await plan('op-1');
      await approve(made, 'dba');
      return refusalOf(await approve(made, ' DBA '));
    },
  },
  {
    name: 'an approval of somebody who is not listed',
    refused: 'approval-refused',
    attempt: async ({ plan, approve }) => refusalOf(await approve(await plan('op-1'), 'mallory')),
  },
  {
    name: 'an approval of the requester, where the policy excludes him',
    refused: 'approval-refused',
    attempt: async ({ session, plan, approve }) => {
      Object.assign(session.cluster.approvals['recover'] ?? {}, { requesterMayApprove: false });
      return refusalOf(await approve(await plan('op-1', { requester: 'ops' }), 'Ops'));
    },
  },
  {
    name: 'an approval of another plan',
    refused: 'plan-stale',
    attempt: async ({ plan, run, activities, step }) => {
      const [one, other] = [await plan('op-1'), await plan('op-2')];
      const approval = { plan: other.digest.slice(0, 12), by: 'dba', reason: 'x' };
      return refusalOf(await run(activities.recordApproval, { ...step(one), approval }));
    },
  },
  {
    name: 'an approval of fewer digits than 12',
    refused: 'plan-stale',
    attempt: async ({ plan, run, activities, step }) => {
      const made = await plan('op-1');
      const approval = { plan: made.digest.slice(0, 11), by: 'dba', reason: 'x' };
      return refusalOf(await run(activities.recordApproval, { ...step(made), approval }));
    },
  },
  {
    name: 'the approval of an earlier plan of the same operation, for a step of a later one',
    refused: 'approval-refused',
    attempt: async (site) => {
      await site.approved('op-1');
      return steps(site, site.step(await site.plan('op-1', { port: 5433 })));
    },
  },
  {
    name: 'the approvals from before a plan was made again just as it was',
    refused: 'approval-refused',
    attempt: async (site) => {
      await site.approved('op-1');
      await new Promise((resolve) => setTimeout(resolve, 5));
      return steps(site, site.step(await site.plan('op-1')));
    },
  },
  {
    name: 'an approval after the time to approve is over',
    refused: 'plan-expired',
    attempt: async ({ root, plan, approve }) => {
      const made = await plan('op-1');
      const file = join(root, 'state', 'plans', `${made.digest}.json`);
      await changeJson(file, (stored) => ({ ...stored, approveBy: hoursAgo(1) }));
      return refusalOf(await approve(made, 'dba'));
    },
  },
  {
    name: 'a step after the time to execute is over',
    refused: 'plan-expired',
    attempt: async (site) => {
      const made = await site.plan('op-1', {}, 5);
      await site.approve(made, 'dba');
      const folder = join(site.root, 'state', 'approvals', made.digest);
      for (const name of await readdir(folder))
        await changeJson(join(folder, name), (stored) => ({ ...stored, at: hoursAgo(2) }));
      return steps(site, site.step(made));
    },
  },
  {
    name: 'a plan that only a preparing step has used, long ago',
    refused: 'plan-expired',
    attempt: async (site) => {
      const made = await site.approved('op-1');
      await authorize(site.session, site.step(made));
      await aged(site, made, 2);
      return steps(site, site.step(made));
    },
  },
  {
    name: 'one of two approvers who revives a used plan',
    refused: 'plan-expired',
    approvers: 2,
    attempt: async (site) => {
      const made = await site.approved('op-1');
      await site.approve(made, 'ops');
      await authorize(site.session, site.step(made));
      await aged(site, made, 2);
      await site.approve(made, 'dba');
      return steps(site, site.step(made));
    },
  },
  {
    name: 'a plan of another operation',
    refused: 'plan-unknown',
    attempt: async (site) => steps(site, { ...site.step(await site.approved('op-1')), operationId: 'op-2' }),
  },
  {
    name: 'a plan of another cluster',
    refused: 'plan-unknown',
    attempt: async (site) => steps(site, { ...site.step(await site.approved('op-1')), cluster: 'other' }),
  },
  {
    name: 'a plan for another host',
    refused: 'plan-unknown',
    attempt: async ({ deps, approved, step }) => {
      const made = await approved('op-1');
      const elsewhere = await openClusterContext(deps('config-1', 'engine-1', 'db2'), 'mairie');
      return codes([() => authorize(elsewhere, step(made))]);
    },
  },
  {
    name: 'another configuration of the host than the one approved',
    refused: 'plan-stale',
    attempt: async ({ deps, approved, step }) => {
      const made = await approved('op-1');
      return codes([async () => authorize(await openClusterContext(deps('config-2'), 'mairie'), step(made))]);
    },
  },
  {
    name: "another configuration of the engine's own tool",
    refused: 'plan-stale',
    attempt: async ({ deps, plan, approve, step }) => {
      const made = await plan('op-1', { engineConfigDigest: 'engine-1' });
      await approve(made, 'dba');
      return codes([
        async () => authorize(await openClusterContext(deps('config-1', 'engine-2'), 'mairie'), step(made)),
      ]);
    },
  },
  {
    name: "the plan's record on the host, changed after the approval",
    refused: 'plan-stale',
    attempt: async (site) => {
      const made = await site.approved('op-1');
      const file = join(site.root, 'state', 'plans', `${made.digest}.json`);
      await changeJson(file, (stored) => ({ ...stored, binding: { ...made.binding, dataDir: '/etc' } }));
      return steps(site, site.step(made));
    },
  },
  {
    name: "another plan's record, put in the place of the approved one",
    refused: 'plan-stale',
    attempt: async (site) => {
      const [made, other] = [await site.approved('op-1'), await site.plan('op-1', { dataDir: '/etc' })];
      const folder = join(site.root, 'state', 'plans');
      await rename(join(folder, `${other.digest}.json`), join(folder, `${made.digest}.json`));
      return steps(site, site.step(made));
    },
  },
  {
    name: 'records of a plan and of its approval, forged in the repository',
    refused: 'plan-unknown',
    attempt: async (site) => {
      const made = await site.plan('op-2');
      const binding = { ...made.binding, operationId: 'op-1', dataDir: '/etc' };
      const forged = { ...made, binding, digest: planDigest(binding) };
      const approval = { plan: forged.digest, by: 'dba', reason: 'forged' };
      await record(site.session, { operationId: 'op-1' }, 'plan/forged', { kind: 'plan', plan: forged });
      await record(site.session, { operationId: 'op-1' }, 'approval/forged', {
        kind: 'approval',
        digest: forged.digest,
        approval,
        assurance: 'signed',
      });
      return steps(site, site.step(forged));
    },
  },
  {
    name: 'an approval forged in the repository, for a plan of the host',
    refused: 'approval-refused',
    attempt: async (site) => {
      const made = await site.plan('op-1');
      await record(site.session, { operationId: 'op-1' }, 'approval/forged', {
        kind: 'approval',
        digest: made.digest,
        approval: { plan: made.digest, by: 'dba', reason: 'forged' },
        assurance: 'signed',
      });
      return steps(site, site.step(made));
    },
  },
  {
    name: 'a plan that is closed',
    refused: 'approval-used',
    attempt: async (site) => {
      const made = await site.approved('op-1');
      await authorize(site.session, site.step(made));
      await site.run(site.activities.unpin, site.step(made));
      return steps(site, site.step(made));
    },
  },
  {
    name: 'a closed plan, approved again',
    refused: 'approval-used',
    attempt: async ({ approved, run, activities, step, approve }) => {
      const made = await approved('op-1');
      await run(activities.unpin, step(made));
      return refusalOf(await approve(made, 'ops'));
    },
  },
  {
    name: 'a plan that a later recovery has replaced',
    refused: 'approval-used',
    attempt: async (site) => {
      const [older, newer] = [await site.approved('op-1'), await site.approved('op-2')];
      await authorize(site.session, site.step(older));
      await authorize(site.session, site.step(newer));
      return steps(site, site.step(older));
    },
  },
  {
    name: 'a plan that the ledger says another operation uses',
    refused: 'approval-used',
    attempt: async (site) => {
      const made = await site.approved('op-1');
      await site.state.markUsed(made.digest, 'op-2');
      return steps(site, site.step(made));
    },
  },
  {
    name: 'the approval of media, for steps of a recovery',
    refused: 'plan-unknown',
    attempt: async (site) => {
      const made = mediaPlanOf(
        {
          cluster: 'mairie',
          operationId: 'op-1',
          requester: 'ops',
          order: { media: 'photos', task: { kind: 'sync', into: 'copy', delete: false, maxDelete: 0 } },
        },
        { approvers: 0 },
      );
      await site.state.savePlan(made);
      return steps(site, site.step(made as never));
    },
  },
  {
    name: 'the approval of a recovery, for media',
    refused: 'plan-unknown',
    attempt: async (site) => called(site, 'applyMedia', site.step(await site.approved('op-1'))),
  },
  {
    name: 'steps of an approved plan, called by another workflow',
    refused: 'approval-refused',
    attempt: async (site) => {
      const made = await owned(site);
      return steps(site, site.step(made), 'evil/1');
    },
  },
  {
    name: 'an approval, a decision and a rejection handed in by another workflow',
    refused: 'approval-refused',
    attempt: async (site) => {
      const { run, activities } = site;
      const own = site.step(await owned(site));
      const person = { by: 'dba', reason: 'x' };
      return codes([
        () => run(activities.recordApproval, { ...own, approval: { plan: own.plan, ...person } }, 'evil/1'),
        () => run(activities.recordDecision, { ...own, decision: { kind: 'promote', ...person } }, 'evil/1'),
        () => run(activities.recordRejection, { ...own, ...person }, 'evil/1'),
      ]);
    },
  },
  {
    name: "unpin, close and pin in a victim's name",
    refused: 'approval-refused',
    attempt: async (site) => {
      const { run, activities } = site;
      const own = site.step(await owned(site));
      return codes([
        () => run(activities.unpin, own, 'evil/1'),
        () => run(activities.closeMedia, own, 'evil/1'),
        () => run(activities.pin, own, 'evil/1'),
      ]);
    },
  },
  {
    name: "a pin of no plan, to replace the victim's",
    refused: 'plan-unknown',
    attempt: async (site) => {
      const own = site.step(await site.approved('op-1'));
      return called(site, 'pin', { ...own, plan: '0'.repeat(64) });
    },
  },
  {
    name: 'the id of a recovery that has an outcome',
    refused: 'conflict',
    attempt: async (site) => {
      const outcome = { target: { requested: 'latest', reached: 'x' }, phases: [], checks: [] };
      await record(site.session, { operationId: 'op-1' }, 'outcome', {
        kind: 'outcome',
        workflowId: OWN,
        outcome: outcome as never,
      });
      return planning(site, 'op-1', OWN);
    },
  },
  {
    name: 'the id of a recovery that was rejected',
    refused: 'conflict',
    attempt: async (site) => {
      await site.run(site.activities.unpin, site.step(await site.approved('op-1')));
      return planning(site, 'op-1', OWN);
    },
  },
  {
    name: 'the id of a recovery that another workflow runs',
    refused: 'conflict',
    attempt: async (site) => {
      await owned(site);
      return planning(site, 'op-1', 'evil/1');
    },
  },
  ...['../op', 'a/b', '..', '-rf'].map((operationId) => ({
    name: `${JSON.stringify(operationId)} for an operation id`,
    refused: 'usage',
    attempt: (site: Site) => planning(site, operationId),
  })),
  {
    name: 'an outcome with checks and figures made up, before anything was done',
    refused: 'conflict',
    attempt: async (site) => {
      const own = site.step(await site.approved('op-1'));
      const outcome = { target: { requested: 'x', reached: 'forged' }, rtoSeconds: 0, phases: [], checks: [] };
      return called(site, 'finishRecovery', { ...own, outcome } as never);
    },
  },
  {
    name: 'a promotion before anybody has decided it, where the plan pauses',
    refused: 'approval-refused',
    attempt: async (site) => {
      const made = await site.plan('op-1', { pause: true, backups: [] });
      await site.approve(made, 'dba');
      const own = site.step(made);
      return codes([
        () => site.run(site.activities.promoteServer, own),
        () => site.run(site.activities.swapDatabases, own),
      ]);
    },
  },
  {
    name: 'a decision of somebody who is not listed, or for a plan that is not being executed',
    refused: 'approval-refused',
    attempt: async ({ run, activities, approved, session, step }) => {
      const made = await approved('op-1');
      const decide = async (by: string) =>
        refusalOf(
          await run(activities.recordDecision, { ...step(made), decision: { kind: 'promote', by, reason: 'x' } }),
        );
      const before = await decide('dba');
      await authorize(session, step(made));
      return [...new Set([before, await decide('mallory')])].join(', ');
    },
  },
  {
    name: 'a replay to a target that is neither approved nor decided',
    refused: 'approval-refused',
    attempt: async (site) => {
      const own = site.step(await site.approved('op-1'));
      return called(site, 'replayWal', { ...own, target: { kind: 'time', time: '2020-01-01T00:00:00Z' } });
    },
  },
  {
    name: 'a hook that is not in the plan',
    refused: 'plan-stale',
    attempt: async (site) => called(site, 'runHook', { ...site.step(await site.approved('op-1')), hook: 'rm -rf /' }),
  },
];

/** An approved plan that the workflow of `op-1` has made, as this host knows. */
async function owned(site: Site): Promise<Plan> {
  const { run, activities, plan, step } = site;
  // Refused for want of a server, after the operation was claimed.
  await run(activities.planRecovery, request('op-1'), OWN).catch(() => undefined);
  const made = await plan('op-1');
  await run(
    activities.recordApproval,
    { ...step(made), approval: { plan: made.digest, by: 'dba', reason: 'seen' } },
    OWN,
  );
  return made;
}

describe('F33, G3, G4, G6, G7: ways to cheat an approval', () => {
  it('there are thirty-five of them at least', () => {
    expect(cheats.length).toBeGreaterThanOrEqual(35);
  });

  it.each(cheats.map((cheat, index) => [`cheat ${index + 1}: ${cheat.name}`, cheat] as const))(
    '%s: refused',
    async (_name, { attempt, approvers, refused }) => {
      const site = await gateSite(approvers);
      expect(await attempt(site)).toBe(refused);
      // Nothing was begun, and no outcome stands in the records but one that was there.
      const { outcomes } = await site.session.catalogue.state();
      expect([...outcomes.values()].filter(({ outcome }) => outcome.target.reached === 'forged')).toEqual([]);
      for (const plan of await site.state.plans()) expect(await site.state.hasBegun(plan.digest)).toBe(false);
    },
  );
});
