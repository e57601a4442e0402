import { createHash } from 'node:crypto';
import { RepriseError } from '../../domain/errors.js';

/** Cluster and policy whose folder of a repository a key is in. */
export interface PolicyFolder {
  readonly cluster: { readonly name: string };
  readonly policy: { readonly name: string };
}

/** Prefix of all files of a policy, which clusters and policies never share. */
export function policyPrefix({ cluster, policy }: PolicyFolder): string {
  return `${cluster.name}/${policy.name}/`;
}

/** Twelve digits that stand for an operation where its id might be too long or hold a slash. */
export function operationMark(operationId: string): string {
  return createHash('sha256').update(operationId).digest('hex').slice(0, 12);
}

/** The start of a backup as its label holds it, `20261121_021500` (UTC). @param startedAt ISO-8601 */
export function labelTime(startedAt: string): string {
  const instant = new Date(startedAt);
  if (Number.isNaN(instant.getTime()))
    throw new RepriseError('internal', 'a backup was asked for without the instant of its start');
  const digits = instant.toISOString().replaceAll(/[-:]/g, '');
  return `${digits.slice(0, 8)}_${digits.slice(9, 15)}`;
}
