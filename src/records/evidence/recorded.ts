import type { DrillOutcome } from '../../domain/drill/drill.js';
import { compareRecorded, type LostEvidence } from '../../domain/drill/evidence.js';
import type { ReadableStorage } from '../../storage/storage.js';
import { sha256Hex } from '../digest.js';
import { evidenceFolder, sealedManifests } from './chain.js';
import { MANIFEST } from './manifest.js';

/**
 * Evidence of a cluster that its records name, or that took a number, and that is not in the repository any more, also where it is the
 * last. One listing, and the manifests of the chain.
 */
export async function lostEvidence(
  storage: ReadableStorage,
  cluster: string,
  drills: readonly Pick<DrillOutcome, 'drillId' | 'evidence'>[],
): Promise<readonly LostEvidence[]> {
  const recorded = drills.flatMap(({ drillId: drill, evidence }) =>
    evidence === null ? [] : [{ drill, ...evidence }],
  );
  const manifests = await sealedManifests(storage, cluster);
  if (recorded.length === 0 && manifests.length === 0) return [];
  const keys = new Set<string>();
  for await (const { key } of storage.list(`${cluster}/evidence/`)) if (key.endsWith(`/${MANIFEST}`)) keys.add(key);
  return compareRecorded(
    recorded,
    manifests.map(({ sequence, bytes, manifest }) => ({
      ...{ sequence, drill: manifest?.drill ?? null, sha256: sha256Hex(bytes) },
      isThere: manifest !== null && keys.has(`${evidenceFolder(cluster, manifest.drill)}/${MANIFEST}`),
    })),
  );
}
