import type { RecoveryTarget } from '../../domain/target/target.js';
import type { ControlSettings } from '../server/control-data.js';
import type { Settings } from './auto-conf.js';

export interface RecoverySettingsRequest {
  readonly target: RecoveryTarget;
  /** With PostgreSQL's `%f` and `%p`. */
  readonly restoreCommand: string;
  /** For a segment that is nowhere whole: tried last. */
  readonly restoreBeginningCommand?: string | undefined;
  /** Segments saved from the lost server, offered where the archive has none. */
  readonly salvageDir: string | null;
  readonly timeline: 'latest' | number;
  /** A copy beside production: it never archives, subscribes or runs scheduled jobs. */
  readonly clone?: boolean;
  readonly port?: number;
  /** Further settings, which win. */
  readonly extra?: Settings;
}

/** Settings that belong to the recovery alone: gone from the configuration once it is over. */
const RECOVERY_ONLY = new Set([
  'restore_command',
  'recovery_end_command',
  'archive_cleanup_command',
  'recovery_target',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_xid',
  'recovery_target_lsn',
  'recovery_target_inclusive',
  'recovery_target_timeline',
  'recovery_target_action',
  'primary_conninfo',
  'primary_slot_name',
  'recovery_min_apply_delay',
  'hot_standby',
  'wal_retrieve_retry_interval',
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'synchronous_standby_names',
]);

/** Whether a setting ends with the recovery; archiving, port and a clone's restraints stay. */
export function isRecoveryOnly(name: string): boolean {
  return RECOVERY_ONLY.has(name);
}

/**
 * Settings of a recovery (manual, "Archive Recovery" and "Recovery Target"). All targets are reached in pause, with the
 * server readable: nothing is promoted before it was inspected.
 * @param source settings of the restored cluster's control file, null where it has none.
 * @param major of the restored cluster: a setting that its server does not know would keep it from starting.
 */
export function recoverySettings(
  request: RecoverySettingsRequest,
  source: ControlSettings | null,
  major: number,
): Settings {
  return {
    ...sourceMinimums(source),
    restore_command: restoreCommandOf(request),
    recovery_end_command: '',
    archive_cleanup_command: '',
    primary_conninfo: '',
    primary_slot_name: '',
    recovery_min_apply_delay: '0',
    hot_standby: 'on',
    // Nobody is there yet to confirm a commit.
    synchronous_standby_names: '',
    wal_retrieve_retry_interval: '500ms',
    recovery_target_timeline: String(request.timeline),
    recovery_target_action: 'pause',
    ...targetSettings(request.target),
    // An empty command archives nothing and keeps everything, until it is re-armed.
    archive_command: '',
    ...(major >= 15 ? { archive_library: '' } : {}),
    ...(request.clone === true ? cloneRestraints : {}),
    ...(request.port === undefined ? {} : { port: String(request.port) }),
    ...request.extra,
  };
}

/** What a copy of production must not do. An unknown name with a dot is allowed where its extension is missing. */
export const cloneRestraints: Settings = {
  archive_mode: 'off',
  archive_command: '',
  // Files of production that a copied configuration may name.
  external_pid_file: '',
  logging_collector: 'off',
  synchronous_standby_names: '',
  max_logical_replication_workers: '0',
  'cron.launch_active_jobs': 'off',
  'pg_partman_bgw.interval': '2147483',
  'timescaledb.max_background_workers': '0',
};

/** Every kind of target that PostgreSQL knows, set to none. */
const NO_TARGET: Settings = {
  recovery_target: '',
  recovery_target_name: '',
  recovery_target_time: '',
  recovery_target_xid: '',
  recovery_target_lsn: '',
};

/**
 * All kinds of target are emptied but the one that counts: another one that an earlier recovery left in any configuration
 * file would stop this one, or keep the server from starting (`multiple recovery targets specified`). They come first, since
 * PostgreSQL refuses even an empty one after it.
 */
function targetSettings(target: RecoveryTarget): Settings {
  const [name, value = '', inclusive = 'on'] = targetSetting(target) ?? [];
  const emptied = Object.fromEntries(Object.entries(NO_TARGET).filter(([other]) => other !== name));
  return {
    ...emptied,
    ...(name === undefined ? {} : { [name]: value }),
    recovery_target_inclusive: inclusive,
  };
}

type TargetSetting = readonly [name: string, value: string, inclusive?: 'on' | 'off'];

function targetSetting(target: RecoveryTarget): TargetSetting | null {
  switch (target.kind) {
    case 'latest':
      return null;
    case 'time':
      return ['recovery_target_time', target.time.replace('T', ' ').replace('Z', '+00')];
    case 'lsn':
      return ['recovery_target_lsn', target.lsn];
    case 'xid':
      return ['recovery_target_xid', target.xid];
    case 'before-xid':
      return ['recovery_target_xid', target.xid, 'off'];
    case 'name':
      return ['recovery_target_name', target.name];
    case 'end-of-backup':
    case 'backup':
      return ['recovery_target', 'immediate'];
  }
}

/** A standby refuses to start, or pauses, where one of these is lower than it was on the primary. */
function sourceMinimums(source: ControlSettings | null): Record<string, string> {
  return Object.fromEntries(Object.entries(source ?? {}).map(([name, value]) => [name, String(value)]));
}

/**
 * The archive first, then what was salvaged, then beginnings of segments: one of these in place of a whole segment would
 * end the replay too early. A shell's `||` also hides an archive that fails for another reason than a missing file: that is
 * why an expected end of WAL is always checked after replay.
 */
function restoreCommandOf({ restoreCommand, restoreBeginningCommand, salvageDir }: RecoverySettingsRequest): string {
  const others: string[] = [];
  if (salvageDir !== null) {
    const directory = `'${salvageDir.replaceAll("'", `'\\''`).replaceAll('%', '%%')}'`;
    others.push(`{ test -f ${directory}/'%f' && cp ${directory}/'%f' "%p"; }`);
  }
  if (restoreBeginningCommand !== undefined) others.push(`( ${restoreBeginningCommand} )`);
  return others.length === 0 ? restoreCommand : [`( ${restoreCommand} )`, ...others].join(' || ');
}
