import { expect, test } from '@jest/globals';
import { isOfThisRound } from '../../../src/activities/table/table-now.js';
import { gateSite } from './gate-site.js';

const codeOf = (error: unknown): string => String((error as { type?: string }).type ?? error);
const table = { schema: 'metier', table: 'demandes_rdv' };

test('T6: the table as it is now is looked at before WAL is read and before anything is restored', async () => {
  const site = await gateSite();
  const step = (workflowId: string) => ({ cluster: 'mairie', operationId: 'op-1', workflowId, requester: 'ops' });
  const target = { kind: 'before-xid' as const, xid: '1234' };
  const instance = { instance: 'good', order: { target, databases: ['mairie'], only: [table] } };
  const source = { kind: 'transaction' as const, xid: '1234' };
  const order = { database: 'mairie', table, strategy: 'undo' as const, source };
  const repair = 'table-repair/mairie/op-1';
  const find = site.run(site.activities.findTransaction, { ...step(repair), order }, repair);
  expect(await find.then(() => 'ran', codeOf)).toBe('database-unreachable');
  const plan = site.run(site.activities.planInstance, { ...step(repair), ...instance }, repair);
  expect(await plan.then(() => 'ran', codeOf)).toBe('database-unreachable');
});

test('T1: so is the table that is compared', async () => {
  const site = await gateSite();
  const workflowId = 'table-compare/mairie/op-1';
  const order = { target: { kind: 'latest' as const }, databases: ['mairie'], only: [table] };
  const step = { cluster: 'mairie', operationId: 'op-1', workflowId, requester: 'ops', instance: 'good', order };
  const plan = site.run(site.activities.planInstance, step, workflowId);
  expect(await plan.then(() => 'ran', codeOf)).toBe('database-unreachable');
});

test('M4: a transaction with an epoch is one that the server can have given: another one has the same 32 bits', () => {
  const next = 3n * 2n ** 32n + 1000n;
  expect(isOfThisRound(next - 1n, next)).toBe(true);
  expect(isOfThisRound(2n * 2n ** 32n + 2000n, next)).toBe(true);
  for (const other of [next, next + 2n ** 32n, 2n * 2n ** 32n + 999n, 2n ** 63n])
    expect(isOfThisRound(other, next)).toBe(false);
});
