import type { Backup } from '../../../src/domain/backup/backup.js';
import type { Plan, PlanBinding } from '../../../src/domain/plan/plan.js';
import type { CatalogueRecord, NewRecord, RecordBody } from '../../../src/domain/backup/records.js';
import { planDigest } from '../../../src/records/digest.js';

export type BackupFacts = Omit<Backup, 'proven' | 'heldUntil' | 'status'>;

export function backupFacts(label: string, more: Partial<BackupFacts> = {}): BackupFacts {
  return {
    id: `mairie:logical:${label}`,
    cluster: 'mairie',
    policy: 'nightly-dump',
    engine: 'logical',
    repository: 'local',
    type: 'full',
    startedAt: '2026-11-20T01:30:00Z',
    finishedAt: '2026-11-20T01:35:00Z',
    sizeBytes: 1234,
    label,
    ...more,
  };
}

let made = 0;
/** A record nobody has written yet, with an id of its own. */
export function fact(body: RecordBody, more: Partial<NewRecord> = {}): NewRecord {
  made += 1;
  return {
    id: `fact-${made}`,
    at: '2026-11-21T02:00:00Z',
    operationId: 'op-1',
    by: 'dba',
    ...body,
    ...more,
  } as NewRecord;
}

/** Records as they would be read, numbered from 1. */
export function numbered(...facts: NewRecord[]): CatalogueRecord[] {
  return facts.map((record, index) => ({ seq: index + 1, prev: null, ...record }) as CatalogueRecord);
}

export function samplePlan(binding: Partial<PlanBinding> = {}, more: Partial<Plan> = {}): Plan {
  const whole: PlanBinding = {
    action: 'recover',
    operationId: '20261121t021500-7f3a',
    cluster: 'mairie',
    policy: 'physical',
    engine: 'pgbackrest',
    method: 'data-directory',
    systemIdentifier: '7442345678901234567',
    backups: [
      {
        id: 'mairie:pgbackrest:20261120-021503F',
        label: '20261120-021503F',
        type: 'full',
        finishedAt: '2026-11-20T02:19:48Z',
        hash: 'a'.repeat(64),
      },
    ],
    target: { kind: 'latest' },
    timeline: 1,
    pause: false,
    sourceHost: 'db1',
    targetHost: 'db1',
    into: 'in-place',
    dataDir: '/var/lib/postgresql/15/main',
    port: 5432,
    replaces: [{ what: '/var/lib/postgresql/15/main', keptAs: '/var/lib/postgresql/15/main.before-7f3a' }],
    steps: ['stop-applications', 'restore', 'run-checks', 'start-applications'],
    hooks: ['stop-applications', 'start-applications'],
    configDigest: 'b'.repeat(64),
    requester: 'watch',
    ...binding,
  };
  return {
    digest: planDigest(whole),
    binding: whole,
    observed: {
      sizeBytes: 1_500_000_000,
      neededBytes: 2_250_000_000,
      freeBytes: 79_000_000_000,
      reachableFrom: '2026-11-20T02:19:48Z',
      reachableTo: '2026-11-21T02:14:57Z',
      walEnd: '0/5A000148',
      salvageableSegments: 2,
      predictedRtoSeconds: 95,
      predictedRpoSeconds: 0,
      warnings: [],
    },
    createdAt: '2026-11-21T02:15:10Z',
    approveBy: '2026-11-21T06:15:10Z',
    ...more,
  };
}
