import { z } from 'zod';
import type { BackupType, ListedBackup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import { formatLsn, isLsn, isSegmentName, segmentBefore } from '../../domain/target/wal.js';
import { segmentBytesOf } from '../../postgres/wal/contiguous-wal.js';
import { parseToolJson } from '../shared/manifest.js';
import { runWalg, USE_KNOWN_VERSION } from './command.js';
import type { ToolContext } from '../shared/tool-config.js';

/** One backup as `backup-list --json --detail` shows it. */
export interface WalgBackup {
  readonly label: string;
  readonly type: BackupType;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly wal: { readonly start: string; readonly stop: string };
  readonly lsn: { readonly start: string; readonly stop: string };
  /** Decimal; null in backups of very old versions. */
  readonly systemIdentifier: string | null;
  readonly versionNum: number;
  /** Bytes it takes in the storage by itself, and unpacked. */
  readonly sizeBytes: number;
  readonly unpackedBytes: number;
  /** Bytes of the restored cluster at the most: those of its whole chain. */
  readonly databaseBytes: number;
  /** Chain of backups it rests on, nearest first. */
  readonly dependsOn: readonly string[];
  /** A backup it rests on is not in the storage. */
  readonly baseless: boolean;
  readonly permanent: boolean;
  /** The operation that made it, where Reprise did. */
  readonly operationId: string | null;
}

/** Key in the sentinel's user data that names the operation a backup was made by, so that a later attempt knows its own. */
const MARK = 'reprise';

/** Setting that puts the mark into a backup; every version reads it, the flag for it is newer. */
export function markSetting(operationId: string): Record<string, string> {
  return { WALG_SENTINEL_USER_DATA: JSON.stringify({ [MARK]: operationId }) };
}

const number = z.union([z.number(), z.string()]);
const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)));
const entries = z.array(
  z
    .object({
      backup_name: z.string().optional(),
      name: z.string().optional(),
      wal_file_name: z.string().refine(isSegmentName).optional(),
      start_time: time,
      finish_time: time,
      pg_version: z.number(),
      start_lsn: number,
      finish_lsn: number,
      is_permanent: z.boolean().default(false),
      system_identifier: z.string().nullish(),
      uncompressed_size: z.number(),
      compressed_size: z.number(),
      user_data: z.unknown().optional(),
    })
    .transform((entry) => ({ ...entry, label: entry.backup_name ?? entry.name ?? '' })),
);

/** A name that WAL-G gives: it becomes an argument and a part of paths. */
function isLabel(text: string): boolean {
  return /^base_[0-9A-F]{24}(?:_[0-9A-F]{8})?(?:_D_[0-9A-F]{24}(?:_[0-9A-F]{8})?)?$/.test(text);
}

/** What is in the storage, oldest first. */
export async function readBackupList(context: ToolContext): Promise<readonly WalgBackup[]> {
  const { stdout } = await runWalg(context, ['backup-list', '--json', '--detail']);
  return parseBackupList(stdout);
}

/**
 * Reads `backup-list --json --detail`. Nothing is printed where there is none; 0.2.19 writes positions as numbers.
 * @throws RepriseError `tool-failed` for an unknown form
 */
export function parseBackupList(json: string): readonly WalgBackup[] {
  if (json.trim() === '') return [];
  const found = parseToolJson('wal-g backup-list', wholeNumbersAsText(json), entries, USE_KNOWN_VERSION);
  const plain = found
    .filter(({ label }) => isLabel(label))
    .map((entry) => {
      const lsn = { start: position(entry.start_lsn), stop: position(entry.finish_lsn) };
      const start = entry.wal_file_name ?? segmentOf(entry.label);
      const timeline = Number.parseInt(start.slice(0, 8), 16);
      const stop = segmentBefore(timeline, lsn.stop, segmentBytesOf({ lsn, wal: { start } }));
      return { entry, lsn, wal: { start, stop }, base: baseSegmentOf(entry.label) };
    })
    .sort((a, b) => a.entry.start_time.localeCompare(b.entry.start_time));
  const byStart = new Map(plain.map((one) => [one.wal.start, one]));
  return plain.map(({ entry, lsn, wal, base }): WalgBackup => {
    const chain: typeof plain = [];
    let next = base;
    for (
      let found = next === null ? undefined : byStart.get(next);
      found !== undefined && !chain.includes(found);
      found = next === null ? undefined : byStart.get(next)
    ) {
      chain.push(found);
      next = found.base;
    }
    return {
      label: entry.label,
      type: base === null ? 'full' : 'incr',
      startedAt: instant(entry.start_time),
      finishedAt: instant(entry.finish_time),
      wal,
      lsn,
      systemIdentifier: entry.system_identifier ?? null,
      versionNum: entry.pg_version,
      sizeBytes: entry.compressed_size,
      unpackedBytes: entry.uncompressed_size,
      databaseBytes: [entry, ...chain.map((one) => one.entry)].reduce(
        (sum, { uncompressed_size }) => sum + uncompressed_size,
        0,
      ),
      dependsOn: chain.map((one) => one.entry.label),
      baseless: next !== null,
      permanent: entry.is_permanent,
      operationId: markIn(entry.user_data),
    };
  });
}

export function listed(backup: WalgBackup): ListedBackup {
  const { label, type, startedAt, finishedAt, sizeBytes, dependsOn, wal } = backup;
  return {
    label,
    type,
    startedAt,
    finishedAt,
    sizeBytes,
    dependsOn,
    wal,
    damaged: backup.baseless ? 'the backup it depends on is no longer in the storage' : undefined,
  };
}

/** The segment a backup begins in, by which WAL-G orders what it deletes. */
export function segmentOf(label: string): string {
  return label.slice('base_'.length, 'base_'.length + 24);
}

function baseSegmentOf(label: string): string | null {
  return /_D_([0-9A-F]{24})/.exec(label)?.[1] ?? null;
}

/** Identifiers and positions have 64 bits, a JavaScript number 53. */
function wholeNumbersAsText(json: string): string {
  return json.replace(/("(?:system_identifier|start_lsn|finish_lsn)"\s*:\s*)(\d+)/g, '$1"$2"');
}

function position(value: string | number): string {
  const text = String(value);
  return isLsn(text) ? text : formatLsn(BigInt(text));
}

function instant(text: string): string {
  return new Date(text).toISOString();
}

function markIn(userData: unknown): string | null {
  const mark =
    typeof userData === 'object' && userData !== null ? (userData as Record<string, unknown>)[MARK] : undefined;
  return typeof mark === 'string' ? mark : null;
}

/**
 * Refuses a prefix that another cluster's backups are in: their WAL would overwrite each other.
 * @throws RepriseError `identity-mismatch`
 */
export function requireOwnPrefix(
  backups: readonly Pick<WalgBackup, 'label' | 'systemIdentifier'>[],
  systemIdentifier: string,
): void {
  const other = backups.findLast((backup) => backup.systemIdentifier !== null);
  if (other === undefined || other.systemIdentifier === systemIdentifier) return;
  throw new RepriseError(
    'identity-mismatch',
    `backup ${other.label} in this storage is of the cluster ${other.systemIdentifier}, and the server is ${systemIdentifier}`,
    'give this cluster a separate prefix in its environment file; after pg_upgrade a new one too',
  );
}
