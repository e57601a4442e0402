import type { Backup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import type { WalArchive } from '../../postgres/wal/wal-archive.js';
import type { OutlineRequest, ReadContext, RecoveryOutline } from '../engine.js';
import { outlinePhysical } from '../shared/physical-outline.js';
import type { PhysicalCandidate } from '../shared/physical-outline.js';
import { readArchive, walArchive } from './wal/archive.js';
import { optionsOf } from './command.js';
import type { StanzaDatabase, StanzaInfo } from './info.js';
import { currentDatabase, readInfo, readTablespaces } from './info.js';

/**
 * Looks, without changing anything, whether and how a target can be reached with the stanza's backups and WAL.
 * @throws RepriseError `no-usable-backup`, and what {@link outlinePhysical} throws
 */
export async function outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline> {
  const info = await readInfo(context);
  const warnings: string[] = [];
  const database = databaseOf(info, request);
  const wanted = { database, acceptsPages: optionsOf(context).pageErrors === 'accept' };
  const candidates = restorable(info, request.candidates, wanted, warnings);
  if (candidates.length === 0 || database === undefined) {
    throw new RepriseError(
      'no-usable-backup',
      `stanza ${optionsOf(context).stanza} has no backup that could be restored${warnings.length > 0 ? `: ${warnings.join('; ')}` : ''}`,
      'list the backups and their status: reprise backup list',
    );
  }
  const archive = walArchive(context, await readArchive(context, database.archiveId));
  const outline = await outlinePhysical(context, request, { candidates, archive, warnings });
  const [chosen] = outline.backups;
  if (chosen === undefined) return outline;
  return { ...outline, tablespaces: (await readTablespaces(context, chosen.label)).map(String) };
}

/** The archived WAL of the stanza's present cluster. @throws RepriseError `not-found` where the stanza is not there */
export async function readStanzaArchive(context: ReadContext): Promise<WalArchive> {
  const database = currentDatabase(await readInfo(context));
  if (database === undefined)
    throw new RepriseError(
      'not-found',
      `stanza ${optionsOf(context).stanza} has no WAL archive`,
      'create it: reprise doctor shows how',
    );
  return walArchive(context, await readArchive(context, database.archiveId));
}

/** The cluster whose backups are asked for: that of the backup that is named, else the stanza's present one. */
function databaseOf(info: StanzaInfo, { target, candidates }: OutlineRequest): StanzaDatabase | undefined {
  const named = target.kind === 'backup' ? candidates.find(({ id }) => id === target.id)?.label : undefined;
  return info.backups.find(({ label }) => label === named)?.database ?? currentDatabase(info);
}

/** Candidates that the repository still has, of one cluster of the stanza's history. */
function restorable(
  info: StanzaInfo,
  candidates: readonly Backup[],
  { database, acceptsPages }: { readonly database: StanzaDatabase | undefined; readonly acceptsPages: boolean },
  warnings: string[],
): PhysicalCandidate[] {
  const found: PhysicalCandidate[] = [];
  for (const backup of candidates) {
    const stored = info.backups.find(({ label }) => label === backup.label);
    if (stored === undefined) warnings.push(`backup ${backup.label} is in the catalogue and not in the repository`);
    else if (stored.error && !acceptsPages)
      warnings.push(`backup ${backup.label} is not used: pages with wrong checksums were found while it was made`);
    else if (stored.wal === null || stored.lsn === null)
      warnings.push(`backup ${backup.label} is not used: it was made offline, without WAL`);
    else if (stored.database.id !== database?.id)
      warnings.push(
        `backup ${backup.label} is not used: it is of another cluster of the stanza's history (PostgreSQL ${stored.database.major}, system identifier ${stored.database.systemIdentifier}), as before an upgrade; it can be recovered beside: --to backup:${backup.id} --into NAME`,
      );
    else {
      const {
        wal,
        lsn,
        database: { systemIdentifier, major },
      } = stored;
      found.push({ backup, stored: { ...stored, wal, lsn, systemIdentifier, major } });
    }
  }
  return found;
}
