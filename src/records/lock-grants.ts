import { join } from 'node:path';
import { z } from 'zod';
import type { KnownGrant } from '../domain/operation/lock-grants.js';
import { safeFileName } from '../files/safe-names.js';
import { damagedStateFile, readJson, replaceJson } from './state-files.js';

const fileSchema = z.looseObject({
  grants: z.array(
    z.looseObject({
      kind: z.enum(['backup', 'rotation', 'recovery', 'drill', 'table-repair', 'media']),
      policy: z.string(),
      engine: z.string(),
      repository: z.string(),
      operationId: z.string(),
      workflowId: z.string(),
      runId: z.string(),
      token: z.number(),
      since: z.string(),
      releasedAt: z.string().nullable(),
    }),
  ),
});

const grantsFile = (stateDir: string, cluster: string): string =>
  join(stateDir, 'grants', `${safeFileName(cluster)}.json`);

/**
 * The grants of a cluster's lock that steps have shown to this host, the latest of each claim.
 * @throws RepriseError `internal` where the file is damaged
 */
export async function readGrants(stateDir: string, cluster: string): Promise<readonly KnownGrant[]> {
  const path = grantsFile(stateDir, cluster);
  const value = await readJson(path);
  if (value === null) return [];
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) throw damagedStateFile(path);
  return parsed.data.grants;
}

export function writeGrants(stateDir: string, cluster: string, grants: readonly KnownGrant[]): Promise<void> {
  return replaceJson(grantsFile(stateDir, cluster), { cluster, grants });
}
