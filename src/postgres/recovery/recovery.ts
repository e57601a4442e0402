import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { formatTarget, type RecoveryTarget } from '../../domain/target/target.js';
import { compareLsn } from '../../domain/target/wal.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { syncDirectory } from '../../files/directories.js';
import { pathExists } from '../../files/paths.js';
import { withMaintenance } from '../connection/with-client.js';
import { recoveryProgress, type ReplayProgress } from './recovery-progress.js';
import { isRecoveryOnly, recoverySettings, type RecoverySettingsRequest } from './recovery-settings.js';
import {
  autoSettingsAre,
  autoTargetIs,
  quoteSetting,
  resetAutoSettings,
  type Settings,
  writeAutoSettings,
} from './auto-conf.js';
import { readControlData, type ControlData } from '../server/control-data.js';
import { processesIn } from '../server/postmaster.js';
import type { Service } from '../server/service.js';
import { walSizes } from '../server/wal-sizes.js';
import { findPostgresBin } from '../../process/exec/find-programs.js';
import type { OsUser } from '../../process/jobs/jobs.js';

export interface RecoveryRequest extends RecoverySettingsRequest {
  readonly dataDir: string;
  readonly user: OsUser | null;
  /** Control data of the restored directory where the caller has read it already. */
  readonly control?: ControlData | null;
}

/**
 * Makes a restored data directory ready to recover: settings, and the signal file that says how. `latest` runs as a
 * standby, which has no end of its own: it waits for WAL until it is promoted. A second call replaces the first.
 * @throws RepriseError `conflict` while a server is running in the directory.
 */
export async function configureRecovery(request: RecoveryRequest): Promise<void> {
  const { dataDir, user, target } = request;
  await refuseRunning(dataDir);
  const control = await controlOf(request);
  if (request.clone === true) await addMissingConfiguration(dataDir, walSizes(control?.segmentBytes ?? 0), user);
  await writeAutoSettings(dataDir, await settingsOf({ ...request, control }), user);
  const [wanted, other] =
    target.kind === 'latest' ? ['standby.signal', 'recovery.signal'] : ['recovery.signal', 'standby.signal'];
  await writeFileAtomic(join(dataDir, wanted), '', user);
  // Both together would make it a standby that ignores its target.
  for (const leftover of [other, 'postmaster.pid', 'postmaster.opts'])
    await rm(join(dataDir, leftover), { force: true });
  await syncDirectory(dataDir);
}

/** Whether a data directory was configured last, by {@link configureRecovery}, for the target and the timeline of a request. */
export async function stopsAtTarget(request: RecoveryRequest): Promise<boolean> {
  return autoTargetIs(request.dataDir, await settingsOf(request));
}

/**
 * Recovers to a target: configures the server and starts it. One that already recovers to an earlier target is stopped first
 * and goes on from where it is. A call that was interrupted can be repeated.
 * @throws RepriseError `target-before-backup` where the server has replayed more than the new target asks for: going
 *   back needs a new restore; `conflict` where it was promoted.
 */
export async function recoverToTarget(
  request: RecoveryRequest,
  service: Service,
  connection: ConnectionConfig,
  timeoutSeconds?: number,
): Promise<void> {
  if (!(await autoSettingsAre(request.dataDir, await settingsOf(request)))) {
    const progress = await recoveryProgress(connection).catch(async (error: unknown) => {
      // Stopped by an attempt before this one.
      if (isRepriseError(error) && error.code === 'database-unreachable' && (await service.status()) === 'stopped')
        return null;
      throw error;
    });
    if (progress !== null) refuseBackwards(request.target, progress);
    await service.stop('fast');
    await configureRecovery(request);
  }
  await service.start({ timeoutSeconds });
}

/**
 * Removes from the configuration what belonged to the recovery, after the promotion; the running server takes it in by
 * a reload, some only by its next start. Archiving stays empty until `rearmArchiving`; a port and a clone's restraints
 * stay. Nothing of ours there is no error.
 */
export async function resetRecoverySettings(
  dataDir: string,
  user: OsUser | null,
  options?: { readonly later?: boolean },
): Promise<void> {
  await resetAutoSettings(dataDir, isRecoveryOnly, user, options);
}

/** Puts back the archiving of the restored configuration, after a {@link resetRecoverySettings} with `later`. */
export async function resetArchiveSettings(dataDir: string, user: OsUser | null): Promise<void> {
  await resetAutoSettings(dataDir, (name) => name === 'archive_command' || name === 'archive_library', user);
}

async function refuseRunning(dataDir: string): Promise<void> {
  const running = await processesIn(dataDir);
  if (running.length === 0) return;
  throw new RepriseError(
    'conflict',
    `a server is running in ${dataDir} (process ${running.join(', ')})`,
    'Stop it first: its recovery can only be set up while it is down.',
  );
}

async function settingsOf(request: RecoveryRequest): Promise<Settings> {
  const control = await controlOf(request);
  return recoverySettings(request, control?.settings ?? null, await majorOf(request.dataDir));
}

async function controlOf({ dataDir, user, control }: RecoveryRequest): Promise<ControlData | null> {
  return control ?? (await readControlData(await findPostgresBin(await majorOf(dataDir)), dataDir, user));
}

/** @throws RepriseError `version-mismatch` */
async function majorOf(dataDir: string): Promise<number> {
  const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => ''), 10);
  if (Number.isNaN(major))
    throw new RepriseError(
      'version-mismatch',
      `${dataDir} does not say of which version of PostgreSQL it is: its PG_VERSION is missing or damaged`,
      'the restored files are not whole: reject this recovery, and recover from another backup (--to backup:ID)',
    );
  return major;
}

function refuseBackwards(target: RecoveryTarget, progress: ReplayProgress): void {
  if (!progress.inRecovery) {
    throw new RepriseError(
      'conflict',
      'the server was promoted: it recovers no further',
      'Plan a new recovery with this target.',
    );
  }
  const { replayLsn, lastReplayedCommitAt } = progress;
  const passed =
    target.kind === 'end-of-backup' ||
    target.kind === 'backup' ||
    (target.kind === 'lsn' && replayLsn !== null && compareLsn(target.lsn, replayLsn) < 0) ||
    (target.kind === 'time' && lastReplayedCommitAt !== null && isEarlier(target.time, lastReplayedCommitAt));
  if (!passed) return;
  throw new RepriseError(
    'target-before-backup',
    `the server has replayed up to ${replayLsn ?? '?'} (last commit ${lastReplayedCommitAt ?? 'unknown'}), past ${formatTarget(target)}`,
    'Choose a later target; an earlier one needs a new restore.',
  );
}

/** Instants in UTC with any number of digits below the second. */
function isEarlier(a: string, b: string): boolean {
  const padded = (instant: string): string =>
    instant.replace(/(?:\.(\d+))?Z$/, (_, digits?: string) => `.${(digits ?? '').padEnd(6, '0')}`);
  return padded(a) < padded(b);
}

export interface Promoted {
  /** The timeline the server writes on now. */
  readonly timeline: number;
  /** False where an earlier attempt had done it. */
  readonly promotedNow: boolean;
}

/**
 * Ends the recovery: the server takes writes, on a new timeline. Already promoted is no error.
 * @param service promotes where the role of the connection may not: nobody can grant a right in a server that is in recovery.
 * @param timeoutSeconds default 300.
 * @throws RepriseError `service-failed` where it did not happen in that time.
 */
export async function promoteServer(
  connection: ConnectionConfig,
  service?: Pick<Service, 'promote'>,
  timeoutSeconds = 300,
): Promise<Promoted> {
  return withMaintenance(connection, async (client) => {
    const { rows } = await client.query<{ recovery: boolean; allowed: boolean }>(
      `SELECT pg_is_in_recovery() AS recovery,
         has_function_privilege('pg_catalog.pg_promote(boolean, integer)', 'EXECUTE') AS allowed`,
    );
    const promotedNow = rows[0]?.recovery === true;
    if (promotedNow) {
      if (service === undefined || rows[0]?.allowed === true) await promoteInside(client, timeoutSeconds);
      else await service.promote(timeoutSeconds);
    }
    // Not from pg_control: its checkpoint may still be the old timeline's.
    const wal = await client.query<{ file: string }>('SELECT pg_walfile_name(pg_current_wal_lsn()) AS file');
    return { timeline: Number.parseInt(wal.rows[0]?.file.slice(0, 8) ?? '', 16), promotedNow };
  });
}

async function promoteInside(client: pg.ClientBase, timeoutSeconds: number): Promise<void> {
  const { rows } = await client.query<{ done: boolean }>('SELECT pg_promote(true, $1) AS done', [timeoutSeconds]);
  if (rows[0]?.done === true) return;
  throw new RepriseError(
    'service-failed',
    `the server was not promoted within ${timeoutSeconds} s`,
    'See its log; trying again is harmless.',
  );
}

/** Access from this host only, by the passwords and users of the cluster. */
const HBA = `local all all peer
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
`;

/**
 * Gives a restored copy the configuration files it lacks: Debian keeps them in /etc, outside the data directory, and
 * without them a server does not start there. Files that came with the copy stay as they are.
 */
async function addMissingConfiguration(dataDir: string, needed: Settings, user: OsUser | null): Promise<void> {
  const lines = Object.entries(needed).map(([name, value]) => `${name} = ${quoteSetting(value)}\n`);
  const files = {
    'postgresql.conf': `# Written by Reprise: the copy came without one.\n${lines.join('')}`,
    'pg_hba.conf': HBA,
    'pg_ident.conf': '',
  };
  for (const [name, content] of Object.entries(files)) {
    const path = join(dataDir, name);
    if (!(await pathExists(path))) await writeFileAtomic(path, content, user);
  }
}
