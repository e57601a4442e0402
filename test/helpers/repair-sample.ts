import type { RepairReportInput } from '../../src/reports/repair/model.js';
import { repairPlanOf } from '../workflows/repairs.js';

const counts = [
  { after: 'block writes to the table', at: '2026-11-21T04:12:09.000Z', rows: 70_104, change: null, since: null },
  {
    after: 'the repair',
    at: '2026-11-21T04:12:31.000Z',
    rows: 100_103,
    change: 29_999,
    since: 'block writes to the table',
  },
  { after: 'open the table for writes', at: '2026-11-21T05:02:11.000Z', rows: 100_103, change: 0, since: 'the repair' },
  {
    after: 'start-batches (undo of stop-batches)',
    at: '2026-11-21T05:02:13.000Z',
    rows: 100_110,
    change: 7,
    since: 'the repair',
  },
  { after: 'watch 1', at: '2026-11-21T05:12:13.000Z', rows: 40_110, change: -59_993, since: 'the repair' },
].map((count) => ({ ...count, suspicion: count.after === 'watch 1' ? '40110 rows instead of 100103 (-60 %)' : null }));

/** A batch deleted appointments; citizens went on booking. */
export const sampleRepair: RepairReportInput = {
  plan: repairPlanOf(
    {
      ...{ cluster: 'mairie', operationId: '20261121-041000-a1b2c3', requester: 'ops' },
      order: {
        ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, strategy: 'undo' },
        source: { kind: 'transaction', xid: '1234' },
      },
    },
    { insert: 30_000, update: 12, delete: 1, conflicts: 3 },
    {
      ...{ freeze: { by: 'trigger' }, hooks: ['stop-batches'], undoHooks: { 'stop-batches': 'start-batches' } },
      ...{ signOff: { by: ['qa'], withinSeconds: 14_400 }, watchSeconds: 7200 },
    },
  ),
  outcome: {
    ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' } },
    done: { insert: 30_000, update: 12, delete: 1, conflicts: 0 },
    ...{ rowsBefore: 70_104, rowsAfter: 100_103 },
    checks: [
      { name: 'rows are as approved', status: 'ok' },
      { name: 'number of rows', status: 'ok', detail: '70104 before, 100103 after' },
      { name: 'references to and from other tables', status: 'skipped', detail: 'no foreign keys' },
      { name: 'invariant enough', status: 'ok', detail: 'true' },
    ],
    ...{ startedAt: '2026-11-21T04:12:10.000Z', finishedAt: '2026-11-21T04:12:32.000Z' },
    signOff: {
      verdict: 'pass',
      by: 'qa',
      at: '2026-11-21T05:02:09.000Z',
      remarks: 'the appointments of Monday are there',
    },
    ...{ frozenAt: '2026-11-21T04:12:08.000Z', openedAt: '2026-11-21T05:02:11.000Z', counts },
    rowsFile: { path: '/var/lib/reprise/repairs/op/rows.csv', until: '2026-12-21T00:00:00.000Z' },
  },
  approvals: [{ by: 'dba', reason: 'seen on site', at: '2026-11-21T04:11:50.000Z' }],
  incident: {
    workflowId: 'incident/mairie/table-corruption/20261121-033000-d4e5f6',
    discoveredAt: '2026-11-21T03:30:00.000Z',
    cause: 'the nightly clean-up ran with the wrong year',
  },
  ...{ isOver: true, hasInvariants: true },
};

const HOSTILE = `<script>alert(1)</script> | [x](javascript:alert(1)) \u202e =cmd()`;

/** Names and texts as somebody hostile would choose them. */
export const hostileRepair: RepairReportInput = {
  ...sampleRepair,
  plan: {
    ...sampleRepair.plan,
    binding: {
      ...sampleRepair.plan.binding,
      requester: HOSTILE,
      order: { ...sampleRepair.plan.binding.order, database: HOSTILE, table: { schema: 'x', table: HOSTILE } },
    },
  },
  outcome: {
    ...sampleRepair.outcome,
    checks: [{ name: HOSTILE, status: 'failed', detail: HOSTILE }],
    signOff: { verdict: 'fail', by: HOSTILE, at: '2026-11-21T05:02:09.000Z', remarks: HOSTILE },
    counts: counts.map((count) => ({ ...count, after: HOSTILE })),
  },
  approvals: [{ by: HOSTILE, reason: HOSTILE, at: '2026-11-21T04:11:50.000Z' }],
  incident: { workflowId: HOSTILE, discoveredAt: HOSTILE, cause: HOSTILE },
};
