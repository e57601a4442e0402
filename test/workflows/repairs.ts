import type { HoldRequest, RepairRequest } from '../../src/activities/api.js';
import type { HoldBinding, HoldPlan } from '../../src/domain/table/hold.js';
import type { MigrationFindings, MigrationTime } from '../../src/domain/incident/migration.js';
import type { TableSurvey, Suspects } from '../../src/domain/table/incident.js';
import type { ChangeCounts, RepairBinding, RepairOutcome, RepairPlan } from '../../src/domain/table/repair.js';
import { planDigest } from '../../src/records/digest.js';
import { HOST } from './lab.js';

/** A plan as the host would make it, with its true digest. */
export function repairPlanOf(
  { cluster, operationId, requester, order }: Pick<RepairRequest, 'cluster' | 'operationId' | 'requester' | 'order'>,
  counts: ChangeCounts = { insert: 2, update: 1, delete: 0, conflicts: 0 },
  more: Partial<RepairBinding> = {},
): RepairPlan {
  const binding: RepairBinding = {
    ...{ action: 'table-repair', operationId, cluster, requester, order, targetHost: HOST, configDigest: 'config' },
    ...{ systemIdentifier: '7', backups: [], key: ['id'], freeze: null, hooks: [] },
    changes: { ...counts, sha256: 'c'.repeat(64), bytes: 100 },
    effects: { referencedBy: [], refersTo: [], triggers: [], sequences: [], generated: [] },
    ...more,
  };
  return {
    digest: planDigest(binding),
    binding,
    observed: {
      damagedAt: '2026-11-21T02:00:00.000Z',
      rowsNow: 10,
      file: '/var/lib/reprise/repairs/op/changes.jsonl',
      fileUntil: '2026-12-21T00:00:00.000Z',
      approval: { approvers: 1, from: ['dba'] },
      warnings: [],
    },
    createdAt: '2026-11-21T02:20:00.000Z',
    approveBy: '2126-11-21T06:20:00.000Z',
  };
}

/** The same of a hold; its hook is taken back by another one. */
export function holdPlanOf({ cluster, operationId, requester, order }: HoldRequest): HoldPlan {
  const binding: HoldBinding = {
    ...{ action: 'table-freeze', operationId, cluster, requester, order, targetHost: HOST, configDigest: 'config' },
    ...{ systemIdentifier: '7', freeze: { by: 'trigger' }, hooks: ['stop-batches'] },
    undoHooks: { 'stop-batches': 'start-batches' },
  };
  return {
    digest: planDigest(binding),
    binding,
    observed: { approval: { approvers: 1, from: ['dba'] }, warnings: [] },
    createdAt: '2026-11-21T02:20:00.000Z',
    approveBy: '2126-11-21T06:20:00.000Z',
  };
}

export const repairOutcome: RepairOutcome = {
  ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, rowsBefore: 10, rowsAfter: 12 },
  done: { insert: 2, update: 1, delete: 0, conflicts: 0 },
  checks: [{ name: 'rows are as approved', status: 'ok' }],
  ...{ startedAt: '2026-11-21T02:30:00.000Z', finishedAt: '2026-11-21T02:30:05.000Z', report: 'incidents/op.md' },
};

export const migrationTime: MigrationTime = {
  ...{ before: '2026-11-21T07:50:00.000Z', source: 'table', recordedIn: 'public.django_migrations' },
  migrations: [{ name: '0042_drop_phone', at: '2026-11-21T07:55:00.000Z' }],
};

export const migrationFindings: MigrationFindings = {
  target: { kind: 'time', time: migrationTime.before },
  tables: [{ table: { schema: 'metier', table: 'demandes_rdv' }, before: 90_000, now: 60_000 }],
  ...{ changed: 1, same: 11, objects: ['table metier.citoyens has another definition, owner or rights than before'] },
  moreObjects: 0,
};

export const tableSurvey: TableSurvey = {
  history: [
    {
      ...{ backupId: 'mairie:logical:1', policy: 'nightly', at: '2026-11-21T02:00:00.000Z' },
      ...{ rows: 90_000, change: null, suspicion: null },
    },
  ],
  rowsNow: 60_000,
  suspicion: '60000 rows; 90000 in the backup before (-33 %), 90000 usually (-33 %)',
  blocks: false,
  problems: [],
};

export const tableSuspects: Suspects = {
  ...{ from: '2026-11-21T02:00:00.000Z', to: '2026-11-21T08:00:00.000Z', problem: null },
  transactions: [
    { xid: '1234', committedAt: '2026-11-21T07:10:00.000000Z', inserted: 0, updated: 0, deleted: 30_000, actions: [] },
  ],
};
