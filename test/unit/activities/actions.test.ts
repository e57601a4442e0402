import { chmod, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { describe, expect, it } from '@jest/globals';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { openClusterContext, record } from '../../../src/activities/cluster-context.js';
import { createHostActivities } from '../../../src/activities/index.js';
import { type ActionPlan, clusterForStorage } from '../../../src/domain/approval/actions.js';
import type { ApprovalPolicy, ClusterConfig, Config } from '../../../src/domain/config.js';
import { confirmationPath, writeConfirmation } from '../../../src/files/confirmations.js';
import { sha256Hex } from '../../../src/records/digest.js';
import { openHostState } from '../../../src/records/host-state.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { pathExists } from '../../../src/files/paths.js';
import { tempDir } from '../../helpers/temp.js';
import { backupFacts } from '../records/samples.js';

const POLICY: ApprovalPolicy = {
  approvers: 1,
  from: ['dba'],
  requesterMayApprove: false,
  approveWithinSeconds: 3600,
  executeWithinSeconds: 3600,
  signatures: 'none',
};

/** A host with one piece of old data that it has kept, and a backup that is held. */
async function site(approvals: Readonly<Record<string, ApprovalPolicy>> = {}) {
  const root = await tempDir('actions');
  const stateDir = join(root, 'state');
  await mkdir(stateDir, { mode: 0o700 });
  const dataDir = join(root, 'main');
  const cluster = {
    name: 'mairie',
    host: 'db1',
    dataDir,
    catalogue: 'local',
    connection: { host: '127.0.0.1', port: 1, user: 'x', maintenanceDatabase: 'postgres' },
    databases: ['mairie'],
    policies: { nightly: { name: 'nightly', engine: 'logical', repository: 'local', cluster: 'mairie' } },
    recovery: { targets: {} },
    hooks: {},
    checks: {},
    approvals,
  };
  const facts = backupFacts('mairie:logical:one');
  const deps = {
    config: {
      digest: 'config',
      hosts: { db1: { name: 'db1', stateDir } },
      repositories: { local: { name: 'local', type: 'directory', options: {} } },
      clusters: { mairie: cluster as unknown as ClusterConfig },
      media: {},
    },
    host: 'db1',
    openStorage: () => openDirectory({ path: join(root, 'repository') }),
    jobUser: async () => null,
    postgresBin: async () => '/nowhere',
    uploader: [],
    rowCounter: [],
    engineOf: () => ({ capabilities: {}, list: async () => [{ ...facts, label: 'one' }] }),
  } as unknown as HostDependencies;
  const clusterContext = await openClusterContext(deps, 'mairie');
  const state = openHostState(stateDir);
  const activities = createHostActivities(deps);
  const run = <I, O>(activity: (input: I) => Promise<O>, input: I): Promise<O> =>
    new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run(activity, input) as Promise<O>;

  const aside = `${dataDir}.aside-op-1`;
  await mkdir(aside);
  await writeFile(join(aside, 'PG_VERSION'), '15\n');
  const recordKept = (keptId: string, where: string) =>
    record(clusterContext, { operationId: 'op-1' }, `kept/${keptId}`, {
      kind: 'kept',
      keptId,
      what: 'old data directory',
      where,
      sizeBytes: null,
      host: 'db1',
    });
  await recordKept('op-1/old', aside);
  const kept = { id: 'op-1/old', cluster: 'mairie', operationId: 'op-1', where: aside, server: null };
  await state.saveKept({ ...kept, mark: `inode ${(await stat(aside)).ino}` });

  const operation = { cluster: 'mairie', operationId: 'op-2', workflowId: 'kept-drop/mairie/op-2' };
  const order = { kind: 'kept-drop' as const, id: 'op-1/old' };
  const plan = (more: object = {}) => run(activities.planAction, { ...operation, requester: 'ops', order, ...more });
  const approve = (of: ActionPlan, by = 'dba', more: object = {}) =>
    run(activities.recordApproval, {
      ...operation,
      plan: of.digest,
      approval: { plan: of.digest, by, reason: 'seen', ...more },
    });
  const apply = (of: Pick<ActionPlan, 'digest'>, more: object = {}) =>
    run(activities.applyAction, { ...operation, plan: of.digest, ...more });
  const confirm = (of: ActionPlan, by = 'dba', at = new Date()) =>
    writeConfirmation(stateDir, { digest: of.digest, by, at: at.toISOString() });
  return {
    ...{ root, stateDir, dataDir, aside, state, clusterContext, activities, run, operation },
    ...{ plan, approve, apply, confirm, recordKept },
  };
}

describe('G5: what cannot be undone is an approved action where the cluster has a policy for it', () => {
  it('dropping old data: planned, approved, done once, recorded', async () => {
    const { plan, approve, apply, aside, clusterContext } = await site({ 'kept-drop': POLICY });
    const made = await plan();
    expect(made).toMatchObject({
      binding: { action: 'kept-drop', subject: 'op-1/old', found: { where: aside } },
      observed: { approval: { approvers: 1, from: ['dba'] } },
    });
    await expect(apply(made)).rejects.toMatchObject({ type: 'approval-refused' });
    expect(await approve(made, 'mallory')).toMatchObject({ accepted: false, code: 'approval-refused' });
    expect(await approve(made)).toMatchObject({ accepted: true, missing: 0 });
    expect(await apply(made)).toMatchObject({ dropped: [{ id: 'op-1/old' }] });
    expect(await pathExists(aside)).toBe(false);
    expect(await apply(made)).toMatchObject({ dropped: [{ id: 'op-1/old' }] });
    expect((await clusterContext.catalogue.state()).kept).toEqual([]);
  });

  it('a confirmation does not replace the approval that policy asks for', async () => {
    const { plan, approve, apply, confirm, aside } = await site({ 'kept-drop': POLICY });
    const made = await plan();
    await confirm(made, 'ops');
    expect(await approve(made, 'ops')).toMatchObject({ accepted: false, code: 'approval-refused' });
    await expect(apply(made)).rejects.toMatchObject({ type: 'approval-refused' });
    expect(await pathExists(aside)).toBe(true);
  });

  it('an approval of another plan, operation or action lets nothing through', async () => {
    const { plan, approve, apply, state, aside } = await site({ 'kept-drop': POLICY, release: POLICY });
    const made = await plan();
    await approve(made);
    await expect(apply(made, { operationId: 'op-3' })).rejects.toMatchObject({ type: 'plan-unknown' });
    await expect(apply({ digest: 'f'.repeat(64) })).rejects.toMatchObject({ type: 'plan-unknown' });
    await state.closePlan(made.digest);
    await expect(apply(made)).rejects.toMatchObject({ type: 'approval-used' });
    expect(await pathExists(aside)).toBe(true);
  });
});

describe('G5: without a policy it is confirmed at a terminal of the host, and refused from afar', () => {
  it('whoever may write the state of the worker can confirm it', async () => {
    const { plan, approve, apply, confirm, aside } = await site();
    const made = await plan();
    expect(made.observed.approval).toBeNull();
    await confirm(made);
    expect(await approve(made)).toMatchObject({ accepted: true, missing: 0 });
    await apply(made);
    expect(await pathExists(aside)).toBe(false);
  });

  it('from afar nobody can: the lines of a policy are named', async () => {
    const { plan, approve, apply, aside } = await site();
    const made = await plan();
    const refused = { accepted: false, code: 'confirmation-needed', hint: expect.stringContaining('kept-drop: {') };
    expect(await approve(made)).toMatchObject(refused);
    // What the caller says of itself is not believed.
    expect(await approve(made, 'dba', { confirmed: true })).toMatchObject(refused);
    await expect(apply(made)).rejects.toMatchObject({ type: 'approval-refused' });
    expect(await pathExists(aside)).toBe(true);
  });

  it('a confirmation of another plan, person or time counts for nothing', async () => {
    const { plan, approve, confirm, stateDir, operation } = await site();
    const made = await plan();
    const other = await plan({ operationId: 'op-3', workflowId: operation.workflowId });
    await confirm(other);
    expect(await approve(made)).toMatchObject({ accepted: false });
    await confirm(made, 'mallory');
    expect(await approve(made)).toMatchObject({ accepted: false });
    await rm(confirmationPath(stateDir, made.digest));
    await confirm(made, 'dba', new Date(Date.now() - 60_000));
    expect(await approve(made)).toMatchObject({ accepted: false });
  });

  it('a confirmation that others may have written counts for nothing', async () => {
    const { plan, approve, confirm, stateDir, root } = await site();
    const made = await plan();
    const file = confirmationPath(stateDir, made.digest);
    await confirm(made);
    const text = await readFile(file, 'utf8');
    await chmod(file, 0o622);
    expect(await approve(made)).toMatchObject({ accepted: false });
    await rm(file);
    await writeFile(join(root, 'elsewhere.json'), text);
    await symlink(join(root, 'elsewhere.json'), file);
    expect(await approve(made)).toMatchObject({ accepted: false });
    await rm(file);
    await chmod(join(stateDir, 'confirmations'), 0o777);
    await writeFile(file, text, { mode: 0o600 });
    expect(await approve(made)).toMatchObject({ accepted: false });
    await chmod(join(stateDir, 'confirmations'), 0o700);
    expect(await approve(made)).toMatchObject({ accepted: true });
  });

  it('on another machine the confirmation cannot be written', async () => {
    const { root } = await site();
    await expect(
      writeConfirmation(join(root, 'not-here'), { digest: 'f'.repeat(64), by: 'dba', at: new Date().toISOString() }),
    ).rejects.toMatchObject({ code: 'confirmation-needed', hint: expect.stringContaining('approval policy') });
  });
});

describe('G5: what is dropped is named by the ledger of the host, and recognised by a mark', () => {
  it('a forged record in the repository names nothing that is dropped: not a directory, not a database', async () => {
    const { plan, recordKept, dataDir } = await site({ 'kept-drop': POLICY });
    for (const where of [`${dataDir}.aside-forged`, 'shop_aside_2026', 'mairie'])
      await recordKept(`forged/${where}`, where);
    for (const where of [`${dataDir}.aside-forged`, 'shop_aside_2026', 'mairie'])
      await expect(plan({ order: { kind: 'kept-drop', id: `forged/${where}` } })).rejects.toMatchObject({
        type: 'path-refused',
        message: expect.stringContaining('no note of its own'),
      });
  });

  it('a record that gives what was kept another place is refused', async () => {
    const { plan, clusterContext } = await site({ 'kept-drop': POLICY });
    const forged = { what: 'old data', where: 'shop_aside_2026', sizeBytes: null, host: 'db1' };
    await record(clusterContext, { operationId: 'evil' }, 'kept/x', { kind: 'kept', keptId: 'op-1/old', ...forged });
    await expect(plan()).rejects.toMatchObject({ type: 'path-refused' });
  });

  it('the plan binds the mark: what a later note of this host puts under the id is not dropped by it', async () => {
    const { plan, approve, apply, aside, stateDir, state } = await site({ 'kept-drop': POLICY });
    const made = await plan();
    await approve(made);
    await rm(aside, { recursive: true });
    await mkdir(join(stateDir, 'takes-the-inode'));
    await mkdir(aside);
    const note = await state.kept('op-1/old');
    await rm(join(stateDir, 'kept', `${sha256Hex('op-1/old')}.json`));
    await state.saveKept({ ...note!, mark: `inode ${(await stat(aside)).ino}` });
    await expect(apply(made)).rejects.toMatchObject({ type: 'plan-stale' });
    expect(await pathExists(aside)).toBe(true);
  });

  it('W8: parts on other disks are dropped with it, each by its mark; what it leads to and is not of it is named and stays', async () => {
    const { plan, approve, apply, aside, root, stateDir, state } = await site({ 'kept-drop': POLICY });
    const [part, other] = [join(root, 'wal', '.aside-op-1'), join(root, 'other')];
    for (const made of [part, other, join(aside, 'pg_tblspc')]) await mkdir(made, { recursive: true });
    await symlink(part, join(aside, 'pg_wal'));
    await symlink(other, join(aside, 'pg_tblspc', '16400'));
    const note = await state.kept('op-1/old');
    await rm(join(stateDir, 'kept', `${sha256Hex('op-1/old')}.json`));
    await state.saveKept({ ...note!, mark: null, parts: [{ where: part, mark: null }] });
    const inode = async (path: string) => `inode ${(await stat(path)).ino}`;
    await state.markKept('op-1/old', await inode(aside), [await inode(part)]);

    const made = await plan();
    expect(made.observed.facts).toEqual(
      expect.arrayContaining([
        ['with', part],
        ['not removed', `${other}, which it leads to`],
      ]),
    );
    await approve(made);
    await rename(part, `${part}x`);
    await mkdir(part);
    await expect(apply(made)).rejects.toMatchObject({ type: 'path-refused' });
    expect(await pathExists(aside)).toBe(true);
    await rm(part, { recursive: true });
    await rename(`${part}x`, part);
    await apply(made);
    for (const gone of [aside, part]) expect(await pathExists(gone)).toBe(false);
    expect(await pathExists(other)).toBe(true);
  });

  it('another directory under the name is not dropped, before the plan or after the approval', async () => {
    const { plan, approve, apply, aside, root } = await site({ 'kept-drop': POLICY });
    const made = await plan();
    await approve(made);
    await rename(aside, join(root, 'elsewhere'));
    await mkdir(aside);
    await writeFile(join(aside, 'live'), 'x');
    await expect(apply(made)).rejects.toMatchObject({ type: 'path-refused' });
    await expect(plan({ operationId: 'op-3' })).rejects.toMatchObject({ type: 'path-refused' });
    expect(await pathExists(join(aside, 'live'))).toBe(true);
    await rm(aside, { recursive: true });
    await symlink(join(root, 'elsewhere'), aside);
    await expect(plan({ operationId: 'op-4' })).rejects.toMatchObject({ type: 'path-refused' });
    expect(await pathExists(join(root, 'elsewhere/PG_VERSION'))).toBe(true);
  });
});

describe('G5: releasing a hold', () => {
  it('waits for its approval, and then ends the hold', async () => {
    const { plan, approve, apply, clusterContext } = await site({ release: POLICY });
    const id = 'mairie:logical:one';
    const hold = { kind: 'hold' as const, backupId: id, until: 'infinity', reason: 'audit' };
    await record(clusterContext, { operationId: 'op-0' }, 'hold', hold);
    const made = await plan({ order: { kind: 'release', id } });
    await expect(apply(made)).rejects.toMatchObject({ type: 'approval-refused' });
    expect((await clusterContext.catalogue.state()).holds.get(id)).toBe('infinity');
    await approve(made);
    expect(await apply(made)).toMatchObject({ backup: { id, heldUntil: null } });
    expect((await clusterContext.catalogue.state()).holds.get(id)).toBeUndefined();
  });

  it('no request of the command line does it, nor drops old data or changes a storage, without a plan', async () => {
    const { run, activities } = await site();
    for (const kind of ['release', 'kept-drop', 'storage-apply'])
      await expect(
        run(activities.answer, { question: { kind, id: 'x', by: 'dba' } as never, host: 'db1' }),
      ).rejects.toMatchObject({ type: 'usage' });
  });
});

describe('G5: adopting', () => {
  it('called by hand without an approved plan it adopts nothing', async () => {
    const { run, activities, operation, plan, approve } = await site({ adopt: POLICY, 'kept-drop': POLICY });
    const adopt = (digest: string) =>
      run(activities.adoptBackups, { ...operation, requester: 'ops', order: { policy: 'nightly' }, plan: digest });
    await expect(adopt('f'.repeat(64))).rejects.toMatchObject({ type: 'plan-unknown' });
    const made = await plan();
    await approve(made);
    await expect(adopt(made.digest)).rejects.toMatchObject({ type: 'plan-unknown' });
  });
});

describe('G5: settings of a repository that several clusters use', () => {
  const config = (policies: Readonly<Record<string, ApprovalPolicy | null>>): Config =>
    ({
      media: {},
      clusters: Object.fromEntries(
        Object.entries(policies).map(([name, policy]) => [
          name,
          { name, catalogue: 'offsite', policies: {}, approvals: policy === null ? {} : { 'storage-apply': policy } },
        ]),
      ),
    }) as unknown as Config;

  it('are decided on by the policy that covers all others; without one by none', () => {
    const two = { ...POLICY, approvers: 2, from: ['dba', 'ops'] };
    const strict = { ...two, from: ['dba', 'ops'] };
    expect(clusterForStorage(config({ a: null, b: POLICY }), 'offsite')).toBe('b');
    expect(clusterForStorage(config({ a: null, b: null }), 'offsite')).toBe('a');
    expect(clusterForStorage(config({ a: { ...POLICY, from: ['dba', 'ops'] }, b: strict }), 'offsite')).toBe('b');
    expect(() => clusterForStorage(config({ a: POLICY, b: { ...POLICY, from: ['ops'] } }), 'offsite')).toThrow(
      /contradict each other/,
    );
  });
});
