import type { Backup } from '../backup/backup.js';
import { RepriseError } from '../errors.js';

/**
 * The number of a transaction means nothing in another cluster.
 * @throws RepriseError `identity-mismatch`
 */
export function requireWalOfServer(
  { name, policy }: { readonly name: string; readonly policy: string },
  { wal, server }: { readonly wal: string; readonly server: string },
): void {
  if (wal === server) return;
  throw new RepriseError(
    'identity-mismatch',
    `the WAL of policy ${policy} is of the cluster ${wal}, and ${name} is ${server}: a transaction of the one is none of the other`,
    'repair from states instead: --good and --bad, or --to TIME --strategy upsert',
  );
}

/** What a plan says of backups that it takes rows from and that were made of another cluster, as before a new initdb. */
export function backupsOfOthers(
  used: readonly string[],
  known: readonly Pick<Backup, 'id' | 'server'>[],
  server: string,
): readonly string[] {
  return known
    .filter(({ id }) => used.includes(id))
    .filter((one) => one.server !== undefined && one.server.systemIdentifier !== server)
    .map(
      (one) =>
        `${one.id} was made of another cluster (${one.server?.systemIdentifier}; production is ${server}): look at the rows before you approve`,
    );
}
