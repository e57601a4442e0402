import { readFile } from 'node:fs/promises';
import type { Backup } from '../../../domain/backup/backup.js';
import { missingFor } from '../../../postgres/wal/contiguous-wal.js';
import { listSegments } from '../../../postgres/wal/messages.js';
import type { EngineContext, VerifyVerdict } from '../../engine.js';
import { failedVerification } from '../../shared/backup-record.js';
import { readArchive } from '../wal/archive.js';
import { manifestHash } from '../backup.js';
import { optionsOf } from '../command.js';
import type { StanzaBackup } from '../info.js';
import { readInfo } from '../info.js';
import { runPgbackrestJob } from '../job.js';
import type { VerifyReport } from './verify-report.js';
import { parseVerifyReport } from './verify-report.js';

/**
 * Reads every file of the backup, in whichever backup it is kept, and the WAL it needs, and compares checksums.
 * pgBackRest 2.45 verifies the whole repository at once, counts missing WAL as no error, and exits with 0 whatever it
 * found: its report tells.
 */
export async function verify(context: EngineContext, backup: Backup): Promise<VerifyVerdict> {
  const stored = (await readInfo(context)).backups.find(({ label }) => label === backup.label);
  if (stored === undefined) return failedVerification(`backup ${backup.label} is no longer in the repository`);
  if (stored.error && optionsOf(context).pageErrors !== 'accept')
    return failedVerification('pgBackRest found pages with wrong checksums in the cluster while it made this backup');
  if (backup.sha256 !== undefined && backup.sha256 !== (await manifestHash(context, backup.label))) {
    return failedVerification('its manifest differs from the one recorded when it was made');
  }
  const report = await readReport(context, stored);
  const wrong = damageInReport(report, stored);
  if (wrong !== undefined) return failedVerification(wrong);
  const { database, lsn, wal } = stored;
  if (wal === null)
    return failedVerification('it was made without WAL (offline), so that nothing can be replayed on it');
  const archive = await readArchive(context, database.archiveId);
  const missing = missingFor({ lsn, wal }, archive.segments);
  if (missing.length > 0)
    return failedVerification(`WAL that it needs to be consistent is not in the archive: ${listSegments(missing)}`);
  const files = report.backups.get(stored.label)?.files ?? 0;
  return { ok: true, detail: `${files} files and WAL ${wal.start} to ${wal.stop} have their recorded checksums` };
}

/** What is wrong with a backup by a report, in one sentence; undefined where nothing is. */
export function damageInReport(
  report: VerifyReport,
  backup: Pick<StanzaBackup, 'label' | 'dependsOn' | 'wal' | 'database'>,
): string | undefined {
  if (!report.complete) return 'pgbackrest verify did not finish';
  const found = report.backups.get(backup.label);
  if (found === undefined)
    return `pgbackrest verify does not report it${report.problems.map((problem) => `: ${problem}`).join('')}`;
  if (!found.valid) {
    const places = [backup.label, ...backup.dependsOn];
    const files = report.badFiles.filter((file) => places.some((place) => file.startsWith(`${place}/`)));
    return `it is damaged (${found.words})${files.length === 0 ? '' : `: ${files.slice(0, 3).join(', ')}`}`;
  }
  const { wal } = backup;
  const badWal = report.badFiles
    .filter((file) => file.startsWith(`${backup.database.archiveId}/`))
    .map((file) => file.slice(file.lastIndexOf('/') + 1, file.lastIndexOf('/') + 25))
    .filter((segment) => wal !== null && segment >= wal.start && segment <= wal.stop);
  return badWal.length === 0 ? undefined : `WAL that it needs is damaged: ${badWal.join(', ')}`;
}

/** One run serves all backups of an operation, but for one that was made after it. */
async function readReport(context: EngineContext, backup: StanzaBackup): Promise<VerifyReport> {
  const first = await runVerify(context, 'verify');
  return first.backups.has(backup.label) ? first : runVerify(context, `verify-${backup.label}`);
}

async function runVerify(context: EngineContext, step: string): Promise<VerifyReport> {
  const job = await runPgbackrestJob(context, {
    step,
    command: 'verify',
    options: ['--repo=1', '--output=text', '--verbose'],
  });
  return parseVerifyReport(await readFile(job.stdout, 'utf8'));
}
