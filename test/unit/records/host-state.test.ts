import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { openHostState } from '../../../src/records/host-state.js';
import { tempDir } from '../../helpers/temp.js';
import { samplePlan } from './samples.js';

async function host() {
  const stateDir = join(await tempDir('state'), 'made', 'by-us');
  return { stateDir, state: openHostState(stateDir) };
}
const plan = samplePlan();
const { digest } = plan;

describe('state of a host, outside of Temporal', () => {
  it('keeps a plan, and what was observed anew, owner-only', async () => {
    const { stateDir, state } = await host();
    expect(await state.readPlan(digest)).toBeNull();
    await state.savePlan(plan);
    const later = { ...plan, approveBy: '2026-11-22T00:00:00Z' };
    await state.savePlan(later);
    expect(await state.readPlan(digest)).toEqual(later);
    expect((await stat(join(stateDir, 'plans', `${digest}.json`))).mode & 0o777).toBe(0o600);
    expect((await stat(join(stateDir, 'plans'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(stateDir, 'plans'))).toEqual([`${digest}.json`]);
  });

  it('F33: a plan whose record was changed, or whose digest is not its own, is no plan', async () => {
    const { stateDir, state } = await host();
    await expect(state.savePlan({ ...plan, digest: 'f'.repeat(64) })).rejects.toMatchObject({ code: 'plan-stale' });
    await state.savePlan(plan);
    const file = join(stateDir, 'plans', `${digest}.json`);
    await writeFile(file, (await readFile(file, 'utf8')).replace('"in-place"', '"elsewhere"'));
    await expect(state.readPlan(digest)).rejects.toMatchObject({ code: 'plan-stale' });
  });

  it.each(['', '..', '../../etc/passwd', digest.slice(0, 12), digest.toUpperCase(), `${digest}\n`])(
    'F37: %j is no digest, for any method',
    async (wrong) => {
      const { state } = await host();
      const unknown = { code: 'plan-unknown' };
      await expect(state.readPlan(wrong)).rejects.toMatchObject(unknown);
      await expect(state.markUsed(wrong, 'op')).rejects.toMatchObject(unknown);
      await expect(state.closePlan(wrong)).rejects.toMatchObject(unknown);
      await expect(state.approvals(wrong)).rejects.toMatchObject(unknown);
      await expect(state.saveApproval(wrong, { plan: wrong, by: 'a', reason: 'b' })).rejects.toMatchObject(unknown);
    },
  );

  it('F31: keeps one approval of each person, the last, whatever the name holds', async () => {
    const { state } = await host();
    const approval = (by: string, reason: string) => ({ plan: digest.slice(0, 12), by, reason });
    await state.saveApproval(digest, approval('dba', 'first'), '2026-11-21T02:00:00Z');
    await state.saveApproval(digest, approval('dba', 'second'), '2026-11-21T03:00:00Z');
    await state.saveApproval(digest, approval('../../ops', 'third'), '2026-11-21T01:00:00Z');
    expect((await state.approvals(digest)).map(({ by, reason }) => [by, reason])).toEqual([
      ['../../ops', 'third'],
      ['dba', 'second'],
    ]);
    expect(await state.approvals('0'.repeat(64))).toEqual([]);
  });

  it('F8: a plan is used by one operation only, and by none once it is closed, also after a restart', async () => {
    const { stateDir, state } = await host();
    expect(await state.markUsed(digest, 'op-1')).toBe(true);
    expect(await openHostState(stateDir).markUsed(digest, 'op-1')).toBe(true);
    expect(await openHostState(stateDir).markUsed(digest, 'op-2')).toBe(false);
    expect(await state.usedBy(digest)).toMatchObject({ operationId: 'op-1' });
    await state.closePlan(digest);
    await state.closePlan(digest);
    expect(await openHostState(stateDir).markUsed(digest, 'op-1')).toBe(false);
    expect(await state.isClosed(digest)).toBe(true);
  });

  it('F29: of many operations at once one gets the plan', async () => {
    const { stateDir } = await host();
    const operations = Array.from({ length: 12 }, (_, index) => `op-${index}`);
    const got = await Promise.all(operations.map((operation) => openHostState(stateDir).markUsed(digest, operation)));
    expect(got.filter(Boolean)).toHaveLength(1);
  });

  it('remembers the first result of a step, by operation and step, whatever their names', async () => {
    const { stateDir, state } = await host();
    expect(await state.onceDone('op-1', 'swap')).toBeNull();
    await state.recordDone('op-1', 'swap', { renamed: 2 });
    await state.recordDone('op-1', 'swap', { renamed: 0 });
    expect(await openHostState(stateDir).onceDone('op-1', 'swap')).toMatchObject({ result: { renamed: 2 } });
    expect(await state.onceDone('op-2', 'swap')).toBeNull();
    await state.recordDone('..', '../../../../escaped', 'x');
    expect(await state.onceDone('..', '../../../../escaped')).toMatchObject({ result: 'x' });
    expect((await readdir(join(stateDir, '..', '..'))).sort()).toEqual(['made']);
    expect(await readdir(stateDir)).toEqual(['done']);
  });

  it('a damaged ledger stops everything: it is not read as unused', async () => {
    const { stateDir, state } = await host();
    await state.markUsed(digest, 'op-1');
    await writeFile(join(stateDir, 'ledger', `${digest}.used.json`), '{');
    await expect(state.markUsed(digest, 'op-1')).rejects.toMatchObject({ code: 'internal', hint: expect.any(String) });
    for (const other of ['[]', '"op-1"', '{"operationId":1,"at":"x"}']) {
      await writeFile(join(stateDir, 'ledger', `${digest}.used.json`), other);
      await expect(state.usedBy(digest)).rejects.toMatchObject({ code: 'internal' });
    }
  });

  it('a ledger that cannot be written is said, never passed over', async () => {
    const { stateDir, state } = await host();
    await state.savePlan(plan);
    await writeFile(join(stateDir, 'ledger'), 'a file where the directory should be');
    await chmod(join(stateDir, 'ledger'), 0o600);
    await expect(state.markUsed(digest, 'op-1')).rejects.toMatchObject({ code: 'storage-unreachable' });
  });
});
