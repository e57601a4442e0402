import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import { countDatabases } from '../../postgres/content/inventory.js';
import { recordClusterObjects } from '../../postgres/content/read-objects.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import { missingFor } from '../../postgres/wal/contiguous-wal.js';
import { stepErrors } from '../../process/jobs/supervisor.js';
import { listSegments } from '../../postgres/wal/messages.js';
import type { BackupRequest, BackupResult, EngineContext, MadeBackup } from '../engine.js';
import { ownership, unlessLost } from '../shared/backup-record.js';
import { damagedPages } from '../shared/page-errors.js';
import { readArchive } from './wal/archive.js';
import type { WalgBackup } from './backup-list.js';
import { readBackupList, listed, markSetting, requireOwnPrefix } from './backup-list.js';
import { optionsOf, runWalgJob } from './command.js';
import { readEnvFile } from './env-file.js';
import { damagedPagesOf } from './damaged-pages.js';
import { fingerprintOf } from './storage-layout.js';
import { strayBase } from './wal/lineage.js';
import { liveFacts } from '../shared/live-server.js';
import { requireNoTablespaces } from './tablespaces.js';

const POLL_MS = 500;

/**
 * One backup of the cluster, complete and with its WAL archived. It carries the operation's id, so that a later
 * attempt of the operation finds it finished instead of pushing another; what a killed push left has no sentinel and is
 * in nobody's list.
 */
export async function backup(context: EngineContext, request: BackupRequest): Promise<readonly BackupResult[]> {
  if (request.type === 'diff')
    throw new RepriseError(
      'capability-missing',
      'WAL-G has full backups and deltas, no backups of type diff',
      'ask for --type full or --type incr',
    );
  const server = await liveFacts(context);
  const made = (await ownBackup(context)) ?? (await push(context, request.type, server));
  await requireArchived(context, made);
  const sha256 = await fingerprintOf(context, made.label);
  const pageErrors = await damagedPagesIn(context);
  const isRefused = pageErrors.length > 0 && optionsOf(context).pageErrors !== 'accept';
  return [
    {
      ...ownership(context, made.label),
      ...listed(made),
      ...(pageErrors.length === 0 ? {} : { pageErrors }),
      ...(isRefused ? { refused: damagedPages(made.label, pageErrors) } : {}),
      sha256,
      server: {
        versionNum: made.versionNum,
        systemIdentifier: server.systemIdentifier,
        dataChecksums: server.dataChecksums,
      },
      // As they are close to its end: a physical backup has no snapshot of its own to count in.
      contents: await countDatabases(context.cluster.connection, context.cluster.databases, context.signal),
      objects: await recordClusterObjects(context.cluster.connection, context.cluster.databases, context.signal),
    },
  ];
}

async function push(context: EngineContext, type: BackupRequest['type'], server: LiveServerFacts): Promise<WalgBackup> {
  const backups = await readBackupList(context);
  requireOwnPrefix(backups, server.systemIdentifier);
  // Between preflight and now: what bears this operation's mark is taken for one without them.
  await requireNoTablespaces(context);
  const settings = await readEnvFile(optionsOf(context), context.user);
  const makesDeltas = Number(settings.get('WALG_DELTA_MAX_STEPS')) > 0;
  if (type === 'incr' && !makesDeltas) {
    throw new RepriseError(
      'config-invalid',
      'WAL-G makes no delta backups: WALG_DELTA_MAX_STEPS is not set',
      `add WALG_DELTA_MAX_STEPS=6 to ${optionsOf(context).envFile}, or ask for --type full`,
    );
  }
  const { dataDir } = context.cluster;
  if (dataDir === undefined)
    throw new RepriseError(
      'config-invalid',
      `cluster ${context.cluster.name} names no data_dir`,
      'add data_dir: to the cluster',
    );
  const stray = makesDeltas && type !== 'full' ? await strayBase(context, backups, server) : null;
  if (type === 'incr' && stray !== null) {
    throw new RepriseError(
      'no-usable-backup',
      `a delta would depend on ${stray.label}, which does not belong to the history of timeline ${server.timeline}, the server's timeline since a recovery`,
      'backup run --type full; the next deltas depend on that one',
    );
  }
  // Otherwise WAL-G itself says, by WALG_DELTA_MAX_STEPS, when a full one is due.
  await runWalgJob(context, {
    step: 'backup-push',
    args: ['backup-push', ...(type === 'full' || stray !== null ? ['--full'] : []), dataDir],
    // Without page checksums it would find none.
    settings: { ...markSetting(context.operationId), WALG_VERIFY_PAGE_CHECKSUMS: 'true' },
    versionNum: server.versionNum,
    resultIsThere: async () => (await ownBackup(context)) !== undefined,
  });
  const made = await ownBackup(context);
  if (made !== undefined) return made;
  throw new RepriseError(
    'tool-failed',
    'wal-g backup-push succeeded, but the storage does not list the backup',
    'was it deleted by another wal-g (cron)? then run the backup again as a new operation',
  );
}

/** Pages that the push of this operation has met, in whichever attempt. */
async function damagedPagesIn({ host, operationId, cluster }: EngineContext): Promise<readonly string[]> {
  const { dataDir } = cluster;
  return dataDir === undefined
    ? []
    : damagedPagesOf(await stepErrors(host.stateDir, operationId, 'backup-push'), dataDir);
}

/** The finished backup of this operation. */
async function ownBackup(context: EngineContext): Promise<WalgBackup | undefined> {
  return (await readBackupList(context)).findLast(({ operationId }) => operationId === context.operationId);
}

/** Without the WAL from its start to its stop a backup can never be consistent. */
async function requireArchived(context: EngineContext, { label, lsn, wal }: WalgBackup): Promise<void> {
  const { archiveTimeoutSeconds } = optionsOf(context);
  const deadline = Date.now() + archiveTimeoutSeconds * 1000;
  for (;;) {
    const missing = missingFor({ lsn, wal }, (await readArchive(context)).segments);
    if (missing.length === 0) return;
    if (Date.now() >= deadline) {
      throw new RepriseError(
        'wal-not-archived',
        `WAL that backup ${label} needs was not archived within ${archiveTimeoutSeconds} s: ${listSegments(missing)}`,
        "read the server's log for what archive_command says; until it works, pg_wal grows",
      );
    }
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
}

/**
 * The record of a backup that somebody else's WAL-G (cron) made: its rows were never counted.
 * @throws RepriseError `identity-mismatch` where it is another cluster's, `not-found`
 */
export async function describeBackup(context: EngineContext, label: string): Promise<MadeBackup> {
  const made = (await readBackupList(context)).find((backup) => backup.label === label);
  if (made === undefined)
    throw new RepriseError('not-found', `backup ${label} is no longer in the storage`, 'run: wal-g backup-list');
  const live = await unlessLost(liveFacts(context));
  const { systemIdentifier } = made;
  if (systemIdentifier === null || (live !== null && live.systemIdentifier !== systemIdentifier)) {
    throw new RepriseError(
      'identity-mismatch',
      `it is a backup of the cluster ${systemIdentifier ?? '(not named)'}, and the server is ${live?.systemIdentifier ?? 'not reachable'}`,
      'give that cluster a separate policy and prefix',
    );
  }
  const sha256 = await fingerprintOf(context, label);
  return {
    ...ownership(context, label),
    ...listed(made),
    sha256,
    server: { versionNum: made.versionNum, systemIdentifier },
  };
}
