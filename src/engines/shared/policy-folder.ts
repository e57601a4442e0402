import { createHash } from 'node:crypto';

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
