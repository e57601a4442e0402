import type { InstanceStep, OrderedInstanceStep } from '../../src/activities/api.js';
import type { PlannedRestore } from '../../src/domain/drill/drill.js';
import type { OpenedInstance, PlannedInstance } from '../../src/domain/explore/instance.js';
import { formatTarget, type RecoveryTarget } from '../../src/domain/target/target.js';
import { HOST } from './lab.js';

const dataDir = '/var/lib/reprise/scratch/explore-1/data';

function restoreTo(target: RecoveryTarget): PlannedRestore {
  const backup = { id: 'mairie:pgbackrest:one', database: null, label: 'one', sizeBytes: 1, finishedAt: '2026-11-20Z' };
  return {
    ...{ policy: 'physical', engine: 'pgbackrest', method: 'data-directory', target, chosen: 'asked', predicted: null },
    backups: [{ ...backup, content: 'a'.repeat(64) }],
  };
}

/** What a host would plan and open, without a server. */
export function plannedInstanceOf({ cluster, order }: OrderedInstanceStep): PlannedInstance {
  const room = { neededBytes: 1, freeBytes: 2, warnings: [] };
  const ttlSeconds = order.ttlSeconds ?? 7200;
  return { cluster, host: HOST, dataDir, restore: restoreTo(order.target), ttlSeconds, ...room };
}

export function openedInstanceOf(
  { cluster }: InstanceStep,
  target: RecoveryTarget = { kind: 'latest' },
  expiresAt: string | null = null,
): OpenedInstance {
  return {
    ...{ cluster, host: HOST, dataDir, socketDir: '/run/copy', port: 5432, user: 'postgres', databases: ['mairie'] },
    restore: restoreTo(target),
    reached: { reached: formatTarget(target), lastLsn: '0/5000060', lastCommitAt: null, complete: false, target },
    expiresAt,
  };
}
