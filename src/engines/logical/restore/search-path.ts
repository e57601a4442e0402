import { join } from 'node:path';
import pg from 'pg';
import { isRepriseError } from '../../../domain/errors.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { pathExists } from '../../../files/paths.js';
import type { DumpManifest } from '../repository/manifest.js';
import { sharedName } from './dump-text.js';
import { madeWorkDirectory } from './login-work.js';
import { dropOurs } from './new-database.js';
import { restorableToc } from './pg-restore.js';
import type { RestoreComplaints, Restoring } from './pg-restore.js';

/** PostgreSQL's own default. */
const DEFAULT = '"$user", public';

/**
 * As `pg_restore` does it, without a `search_path`; where something is not found then, once more with that of the database for all
 * functions of the dump. `restore`: null is without one.
 */
export async function withSearchPath(
  restoring: Restoring,
  restore: (searchPath: string | null) => Promise<RestoreComplaints>,
): Promise<RestoreComplaints> {
  const noted = join(await madeWorkDirectory(restoring), 'with-search-path');
  if (!(await pathExists(noted))) {
    const first = await restore(null).catch((error: unknown) => {
      if (isRepriseError(error) && error.details['missingNames'] === true) return null;
      throw error;
    });
    if (first !== null && !first.missingNames) return first;
    // Before anything else: a later attempt must not take what the first one made for what the second one did.
    await writeFileAtomic(noted, '');
    await dropOurs(restoring.database);
  }
  const searchPath = await searchPathOf(restoring);
  const second = await restore(searchPath);
  return {
    ...second,
    accepted: [
      `functions ran with search_path ${searchPath}, as some find nothing without one: give them their own (ALTER FUNCTION ... SET search_path)`,
      ...second.accepted,
    ],
  };
}

/** What the functions of the dump find their objects with: the setting of who owns most of them, as PostgreSQL would choose it. */
async function searchPathOf(restoring: Restoring): Promise<string> {
  const { manifest, database } = restoring;
  const toc = await restorableToc(restoring);
  const owner = mostFrequent(
    toc.entries.filter(({ kind }) => kind === 'FUNCTION').map((entry) => sharedName(toc, entry.owner)),
  );
  const ofRole = await withMaintenance(database.connection, async (client) => {
    const { rows } = await client.query<{ value: string }>(
      `SELECT pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) AS value
         FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) c
        WHERE s.setdatabase = 0 AND r.rolname = $1 AND c LIKE 'search\\_path=%'`,
      [owner],
    );
    return rows[0]?.value;
  });
  return chosenSearchPath(manifest.properties.settings, owner, ofRole);
}

/**
 * The role's in the database before the role's own, before the database's; `$user` is the owner of the functions.
 * @param ofRole what the role has set for all databases
 */
function chosenSearchPath(
  settings: DumpManifest['properties']['settings'],
  owner: string,
  ofRole: string | undefined,
): string {
  const settingOf = (wanted: string | null): string | undefined =>
    settings.find(({ role, name }) => role === wanted && name === 'search_path')?.value;
  const chosen = settingOf(owner) ?? ofRole ?? settingOf(null) ?? DEFAULT;
  return chosen.replaceAll('"$user"', pg.escapeIdentifier(owner === '' ? 'public' : owner));
}

function mostFrequent(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].toSorted(([, left], [, right]) => right - left)[0]?.[0] ?? '';
}
