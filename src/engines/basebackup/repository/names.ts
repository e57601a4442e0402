import { join } from 'node:path';
import type { BackupType } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import type { ReadContext } from '../../engine.js';
import type { PolicyFolder } from '../../shared/policy-folder.js';
import { labelTime, operationMark, policyPrefix } from '../../shared/policy-folder.js';

/** The commit marker of a backup: written last, taken away first. */
export const MANIFEST = 'reprise.json';
/** PostgreSQL's own list of a backup's files. */
export const PG_MANIFEST = 'backup_manifest';

/** Name of a backup, `full_20261121_021500` (UTC). */
export function labelOf(type: BackupType, startedAt: string): string {
  return `${type}_${labelTime(startedAt)}`;
}

export function isLabel(text: string): boolean {
  return /^(?:full|incr)_\d{8}_\d{6}$/.test(text);
}

/** The files of one backup; the label is checked, so that nothing else is ever named by it. */
export function backupPrefix(folder: PolicyFolder, label: string): string {
  if (!isLabel(label))
    throw new RepriseError(
      'not-found',
      `${JSON.stringify(label)} is not the label of a base backup`,
      'reprise backup list shows the labels',
    );
  return `${policyPrefix(folder)}${label}/`;
}

export function manifestKey(folder: PolicyFolder, label: string): string {
  return `${backupPrefix(folder, label)}${MANIFEST}`;
}

/** The archived WAL of a policy. */
export function walPrefix(folder: PolicyFolder): string {
  return `${policyPrefix(folder)}wal/`;
}

/** Key of an archived WAL file: a segment, `.partial`, `.history` or `.backup`. */
export function walKey(folder: PolicyFolder, name: string): string {
  return `${walPrefix(folder)}${name}.gz`;
}

/** What kind of backup the operation of a spool makes. */
export const CHOICE = 'choice.json';

/** Directory on the host for files of this operation that are not published yet. */
export function spoolOf({ host, operationId }: Pick<ReadContext, 'host' | 'operationId'>): string {
  return join(host.scratchDir, spoolName(operationId));
}

export function spoolName(operationId: string): string {
  return `basebackup-${operationMark(operationId)}`;
}
