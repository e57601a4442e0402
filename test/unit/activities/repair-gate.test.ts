import { describe, expect, it } from '@jest/globals';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PlannedStep } from '../../../src/activities/api.js';
import { leftOver, sweepCluster } from '../../../src/activities/sweep.js';
import { leftChanges } from '../../../src/activities/table/left-changes.js';
import { APPLIED } from '../../../src/activities/table/repair-session.js';
import type { RepairPlan } from '../../../src/domain/table/repair.js';
import { planDigest } from '../../../src/records/digest.js';
import { noteBatch, openRepairFiles } from '../../../src/records/repair-files.js';
import { repairPlanOf } from '../../workflows/repairs.js';
import { gateSite } from './gate-site.js';

const OWN = 'table-repair/mairie/op-1';

const codeOf = (error: unknown): string => {
  const { type, code } = error as { type?: string; code?: string };
  return type ?? code ?? String(error);
};

/** A host whose policy lets `dba` and `ops` approve repairs, two of them; its server is down. */
async function repairSite() {
  const site = await gateSite();
  const approvals = site.session.cluster.approvals as Record<string, unknown>;
  const policy = { ...(approvals['recover'] as object), approvers: 2 };
  approvals['table-repair'] = policy;
  const plan = async (late = false): Promise<RepairPlan> => {
    const base = repairPlanOf({
      ...{ cluster: 'mairie', operationId: 'op-1', requester: 'ops' },
      order: {
        ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, strategy: 'undo' },
        source: { kind: 'transaction', xid: '1234' },
      },
    });
    const binding = { ...base.binding, targetHost: 'db1', configDigest: 'config-1' };
    const approveBy = new Date(Date.now() + (late ? -1 : 1) * 3_600_000).toISOString();
    const made = { ...base, binding, digest: planDigest(binding), createdAt: new Date().toISOString(), approveBy };
    await site.state.savePlan(made);
    // The first step of an operation claims it for its workflow; this one gets no further than the server.
    const { order, requester } = binding;
    const request = { cluster: 'mairie', operationId: 'op-1', workflowId: OWN, order, requester };
    expect(await site.run(site.activities.planRepair, request, OWN).then(() => 'ran', codeOf)).toBe(
      'database-unreachable',
    );
    return made;
  };
  const apply = (digest: string, caller = OWN, operationId = 'op-1'): Promise<string> =>
    site
      .run<PlannedStep, unknown>(
        site.activities.applyRepair,
        { cluster: 'mairie', operationId, workflowId: OWN, plan: digest },
        caller,
      )
      .then(() => 'ran', codeOf);
  const approve = async (digest: string, by: string, named = digest.slice(0, 12)) => {
    const step = { cluster: 'mairie', operationId: 'op-1', workflowId: OWN, plan: digest };
    const approval = { plan: named, by, reason: 'seen' };
    return site.run(site.activities.recordApproval, { ...step, approval }, OWN) as Promise<{
      accepted: boolean;
      missing: number;
      code?: string;
    }>;
  };
  return { ...site, repairPlan: plan, apply, approve };
}

describe('a repair of a table is made by its host only as people have approved it', () => {
  it('F33: called by hand it changes nothing: without approvals, with one too few, for another operation or plan, on a changed record', async () => {
    const site = await repairSite();
    const { digest } = await site.repairPlan();
    expect(await site.apply(digest)).toBe('approval-refused');
    expect(await site.apply('0'.repeat(64))).toBe('plan-unknown');
    const recovery = await site.approved('op-2');
    expect(await site.apply(recovery.digest, 'recover/mairie/op-2', 'op-2')).toBe('plan-unknown');
    expect(await site.approve(digest, 'dba')).toMatchObject({ accepted: true, missing: 1 });
    expect(await site.apply(digest)).toBe('approval-refused');
    expect(await site.approve(digest, 'ops')).toMatchObject({ accepted: true, missing: 0 });
    expect(await site.apply(digest, OWN, 'op-9')).toBe('plan-unknown');
    const file = join(site.root, 'state', 'plans', `${digest}.json`);
    const kept = await readFile(file, 'utf8');
    await writeFile(file, kept.replace('"demandes_rdv"', '"other"'));
    expect(await site.apply(digest)).toBe('plan-stale');
    await writeFile(file, kept);
    // As approved, it goes on to the server, which is down here.
    expect(await site.apply(digest)).toBe('database-unreachable');
    // Another workflow than the first that it let through.
    expect(await site.apply(digest, 'table-repair/mairie/op-7')).toBe('approval-refused');
  });

  it('F46: what an ended repair has changed is in the journal, with the command that takes it back; of one that has changed nothing it is not', async () => {
    const lines = async ({ session }: Awaited<ReturnType<typeof repairSite>>) => {
      await leftChanges(session, { operationId: 'op-1', workflowId: OWN });
      const found = (await session.catalogue.state()).journalOf('op-1');
      return found.filter(({ step }) => step === 'table-repair').map(({ text }) => text);
    };
    const untouched = await repairSite();
    await untouched.repairPlan();
    expect(await lines(untouched)).toEqual([]);
    const changed = await repairSite();
    const { digest } = await changed.repairPlan();
    await changed.state.markBegun(digest);
    const done = { insert: 2, update: 1, delete: 0, left: [], plan: digest };
    await changed.state.recordDone('op-1', APPLIED, done, digest);
    expect(await lines(changed)).toEqual([
      '3 rows of metier.demandes_rdv were changed by repair op-1; to take that back: reprise table undo mairie mairie metier.demandes_rdv --repair op-1',
    ]);
    // A batch was begun, and the server that knows its end is down.
    const unknown = await repairSite();
    const begun = await unknown.repairPlan();
    await unknown.state.markBegun(begun.digest);
    const files = await openRepairFiles(join(unknown.root, 'state'), 'op-1');
    await noteBatch(files, begun.digest, 0, { xid: '700', done });
    expect(await lines(unknown)).toEqual([
      expect.stringMatching(/may have been changed by repair op-1.*reprise table undo/),
    ]);
  });

  it('F46: of a repair that was terminated while its server is down, a login may be left: it is looked for again until the server answers', async () => {
    const { root, session, state, deps, ...site } = await repairSite();
    const { digest } = await site.repairPlan();
    const has = () => Promise.resolve(true);
    const isOpen = async () => (await state.openPlans()).some((plan) => plan.digest === digest);
    await openRepairFiles(join(root, 'state'), 'op-1');
    for (const _ of [1, 2]) {
      await sweepCluster(session, has);
      expect(await isOpen()).toBe(true);
      expect([...(await leftOver(deps(), has))]).toEqual(['held by op-1']);
    }
    // No line for each look.
    expect((await session.catalogue.state()).journalOf('op-1').filter(({ step }) => step === 'sweep')).toEqual([]);
    // It has never come to a login.
    await rm(join(root, 'state', 'repairs'), { recursive: true });
    await sweepCluster(session, has);
    expect(await isOpen()).toBe(false);
    expect([...(await leftOver(deps(), has))]).toEqual([]);
  });

  it('F32: an approval of another plan, of somebody the policy does not list, twice by one, or too late lets nothing through', async () => {
    const site = await repairSite();
    const { digest } = await site.repairPlan();
    expect(await site.approve(digest, 'dba', '0'.repeat(12))).toMatchObject({ accepted: false });
    expect(await site.approve(digest, 'somebody')).toMatchObject({ accepted: false });
    for (const missing of [1, 1]) expect(await site.approve(digest, 'dba')).toMatchObject({ accepted: true, missing });
    expect(await site.apply(digest)).toBe('approval-refused');
    const late = await repairSite();
    const old = await late.repairPlan(true);
    expect(await late.approve(old.digest, 'dba')).toMatchObject({ accepted: false });
    expect(await late.apply(old.digest)).not.toBe('ran');
  });
});
