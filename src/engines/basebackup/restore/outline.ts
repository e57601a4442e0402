import { RepriseError, isRepriseError } from '../../../domain/errors.js';
import type { OutlineRequest, ReadContext, RecoveryOutline } from '../../engine.js';
import { outlinePhysical } from '../../shared/physical-outline.js';
import type { PhysicalCandidate } from '../../shared/physical-outline.js';
import { hashOf, manifestOf, tablespacesIn } from '../repository/manifest.js';
import { chainOf } from '../repository/chain.js';
import { prefetchBytes } from '../wal/wal-prefetch.js';
import { walArchive } from '../wal/wal-archive.js';

/**
 * Looks, without changing anything, whether and how a target can be reached with the policy's backups and WAL.
 * @throws RepriseError `no-usable-backup`, and what {@link outlinePhysical} throws
 */
export async function outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline> {
  const warnings: string[] = [];
  const candidates: PhysicalCandidate[] = [];
  for (const backup of request.candidates) {
    try {
      const manifest = await manifestOf(context, backup.label);
      if (backup.sha256 !== undefined && backup.sha256 !== hashOf(manifest)) {
        warnings.push(
          `backup ${backup.label} is not used: its manifest differs from the one recorded when it was made`,
        );
        continue;
      }
      const { server } = manifest;
      // Of an incremental backup only its own bytes are recorded: with those of its chain nothing is counted too small.
      const databaseBytes = (await chainOf(context, manifest)).reduce((sum, link) => sum + link.databaseBytes, 0);
      candidates.push({
        backup,
        stored: {
          ...manifest,
          databaseBytes,
          systemIdentifier: server.systemIdentifier,
          major: Math.floor(server.versionNum / 10_000),
        },
      });
    } catch (error) {
      if (
        !isRepriseError(error) ||
        !['not-found', 'backup-corrupt', 'identity-mismatch', 'object-cold'].includes(error.code)
      )
        throw error;
      warnings.push(
        `backup ${backup.label} is not used: ${error.code === 'object-cold' ? `${error.message}; ${error.hint}` : error.message}`,
      );
    }
  }
  if (candidates.length === 0) {
    throw new RepriseError(
      'no-usable-backup',
      `policy ${context.policy.name} has no base backup that could be restored`,
      warnings[0] ?? 'list the backups and their status: reprise backup list',
    );
  }
  const outline = await outlinePhysical(context, request, { candidates, archive: await walArchive(context), warnings });
  const [chosen] = outline.backups;
  if (chosen === undefined) return outline;
  const manifest = await manifestOf(context, chosen.label);
  const found = { ...outline, tablespaces: tablespacesIn(manifest) };
  if (context.storage.capabilities.localPath) return found;
  return { ...found, neededBytes: outline.neededBytes + (await prefetchBytes(context, manifest)) };
}
