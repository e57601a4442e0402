import type { Backup } from '../../domain/backup/backup.js';
import { otherClusterInWords } from '../../domain/backup/other-cluster.js';
import type { Config } from '../../domain/config.js';
import { sizeInWords } from '../../domain/text/text.js';
import { facts, instant, type Screen, screenTable } from './tables.js';

/** The command that takes a backup: of the cluster named, else of the first one, by its first enabled policy where it has several. */
export function backupCommand(
  cli: { command(...words: readonly string[]): string },
  { clusters }: Pick<Config, 'clusters'>,
  named?: string,
): string {
  const cluster = Object.values(clusters).find(({ name }) => named === undefined || name === named);
  const [policy, ...others] = Object.values(cluster?.policies ?? {}).filter(({ enabled }) => enabled);
  const words = ['backup', 'run', cluster?.name ?? 'CLUSTER'];
  return cli.command(...words, ...(policy === undefined || others.length === 0 ? [] : ['--policy', policy.name]));
}

/** Backups for a terminal, as they come; `take`: what to type where there are none. */
export function backupTable(backups: readonly Backup[], screen: Screen, take?: string): string {
  if (backups.length === 0) return take === undefined ? 'no backups yet' : `no backups yet: take one with \`${take}\``;
  const header = ['id', 'policy', 'type', 'finished', 'size', 'proven', 'held until', 'status'];
  const rows = backups.map((one) => [
    one.id,
    one.policy,
    one.type,
    instant(one.finishedAt),
    sizeInWords(one.sizeBytes),
    levelText(one),
    held(one),
    one.otherCluster === undefined ? one.status : `${one.status}, of PostgreSQL ${one.otherCluster.major} before`,
  ]);
  return screenTable(header, rows, screen);
}

/** One backup whole. */
export function backupFacts(backup: Backup, screen: Screen): string {
  const pairs: readonly (readonly [string, string | null | undefined])[] = [
    ['id', backup.id],
    ['status', backup.status],
    ['cluster', backup.cluster],
    ['made of', backup.otherCluster && `${otherClusterInWords(backup.otherCluster)}; recoverable beside only`],
    ['policy', backup.policy],
    ['engine', backup.engine],
    ['repository', backup.repository],
    ['type', backup.type],
    ['database', backup.database],
    ['started', instant(backup.startedAt)],
    ['finished', instant(backup.finishedAt)],
    ['size', sizeInWords(backup.sizeBytes)],
    ['proven', backup.proven === null ? 'no' : `${backup.proven.level} at ${instant(backup.proven.at)}`],
    ['damaged pages', backup.pageErrors?.join(', ')],
    ['adopted', adoptedText(backup)],
    ['partial', backup.partial],
    ['held until', held(backup)],
    ['needs', backup.dependsOn?.join(', ')],
    ['WAL', backup.wal === undefined ? null : `${backup.wal.start} to ${backup.wal.stop}`],
    ['SHA-256', backup.sha256],
    ['configuration', configuration(backup)],
    ['certificates', backup.configuration?.certificates.map((path) => `${path} (path only)`).join(', ')],
    ['not captured', backup.configuration?.notCaptured.map(({ path, reason }) => `${path}: ${reason}`).join('; ')],
    ['encrypted', backup.encryption && `${backup.encryption.tool}, for ${backup.encryption.recipients.join(', ')}`],
  ];
  return facts(pairs, screen);
}

/** An adopted backup is named so, whatever was checked since. */
function levelText({ proven, adopted }: Backup): string {
  const level = proven?.level ?? '-';
  return adopted === undefined || level === 'adopted' ? level : `${level}, adopted`;
}

function adoptedText({ adopted }: Backup): string | null {
  if (adopted === undefined) return null;
  if (adopted.checked) return 'yes, of this cluster by its system identifier';
  const { unknown, whole } = adopted;
  if (unknown !== undefined) return `yes, of unknown origin, and nobody can tell whether it is whole: ${unknown}`;
  return whole === true ? 'yes, of unknown origin, with all that the database had' : 'yes, of unknown origin';
}

function held({ heldUntil }: Backup): string {
  if (heldUntil === null) return '-';
  return heldUntil === 'infinity' ? 'for ever' : instant(heldUntil);
}

function configuration({ configuration: captured }: Backup): string | null {
  if (!captured?.key) return null;
  const how = captured.key.endsWith('.age')
    ? ' (encrypted)'
    : captured.masked > 0
      ? ` (${captured.masked} secrets masked)`
      : '';
  return `${captured.files.join(', ')}${how}`;
}
