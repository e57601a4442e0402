import type pg from 'pg';
import type { ClusterConfig } from '../domain/config.js';
import { type Finding, ok, warning } from '../domain/findings.js';
import { engineKinds } from '../engines/registry.js';
import { quotedRole } from '../postgres/connection/database-errors.js';

/** What a recovery of a whole server calls in it, after it was promoted. */
const CALLED = ['pg_reload_conf()', 'pg_create_restore_point(text)', 'pg_switch_wal()'];

/** The statements that give the role of the connection what a recovery of the server needs; none for a superuser. */
export async function missingRights(client: pg.ClientBase): Promise<readonly string[]> {
  const { rows } = await client.query<{ role: string; called: string[]; checkpoint: boolean; grantable: boolean }>(
    `SELECT quote_ident(current_user) AS role,
            ARRAY(SELECT name FROM unnest($1::text[]) AS name
                   WHERE NOT has_function_privilege('pg_catalog.' || name, 'EXECUTE')) AS called,
            EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper
                    UNION ALL
                    SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_checkpoint' AND pg_has_role(oid, 'USAGE')) AS checkpoint,
            EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_checkpoint') AS grantable`,
    [CALLED],
  );
  const [found] = rows;
  if (found === undefined) return [];
  const { role, called, checkpoint, grantable } = found;
  // Before PostgreSQL 15 nothing less than a superuser may ask for a checkpoint.
  if (!checkpoint && !grantable) return [`ALTER ROLE ${role} SUPERUSER`];
  return [
    ...(called.length > 0 ? [`GRANT EXECUTE ON FUNCTION ${called.join(', ')} TO ${role}`] : []),
    ...(checkpoint ? [] : [`GRANT pg_checkpoint TO ${role}`]),
  ];
}

/** PostgreSQL 15 has pg_checkpoint, 14 pg_read_all_data. */
const GRANTED = [
  ['pg_read_all_data', 140_000],
  ['pg_monitor', 100_000],
  ['pg_checkpoint', 150_000],
] as const;

/**
 * The statements that make the role of the connection, with what its policies and their recoveries need and no more.
 * @param version of the server, as `server_version_num`; null where it is not known
 */
export function roleStatements(cluster: ClusterConfig, version: number | null): string {
  const { connection, policies } = cluster;
  const role = quotedRole(connection.user);
  const enabled = Object.values(policies).filter(({ enabled: isOn }) => isOn);
  const attributes = new Set(enabled.flatMap(({ engine }) => engineKinds[engine]?.roleAttributes ?? []));
  const password = connection.passfile === undefined ? '' : ` PASSWORD 'that of ${connection.passfile}'`;
  const groups = GRANTED.filter(([, since]) => version === null || version >= since).map(([name]) => name);
  const isForServer = policiesOf(cluster, 'data-directory').length > 0;
  return [
    `${['CREATE ROLE', role, 'LOGIN', ...attributes].join(' ')}${password};`,
    `GRANT ${groups.join(', ')} TO ${role};`,
    ...(isForServer ? [`GRANT EXECUTE ON FUNCTION ${CALLED.join(', ')} TO ${role};`] : []),
  ].join(' ');
}

/** Rights that a recovery would be refused for, or stop for after the data was restored. */
export function rightsFindings(
  cluster: ClusterConfig,
  { missingRights: missing, isSuperuser }: { missingRights?: readonly string[]; isSuperuser?: boolean },
): readonly Finding[] {
  return [...serverRights(cluster, missing), ...dumpRights(cluster, isSuperuser)];
}

function policiesOf({ policies }: ClusterConfig, method: 'databases' | 'data-directory'): readonly string[] {
  return Object.values(policies)
    .filter(({ enabled, engine }) => enabled && engineKinds[engine]?.capabilities.method === method)
    .map(({ name }) => name);
}

function serverRights(cluster: ClusterConfig, missing: readonly string[] | undefined): readonly Finding[] {
  if (missing === undefined || policiesOf(cluster, 'data-directory').length === 0) return [];
  const { name, connection } = cluster;
  const check = `cluster/${name}/rights`;
  if (missing.length === 0)
    return [ok(check, `${connection.user} has the rights that a recovery of the server of ${name} needs`)];
  return [
    warning(
      check,
      `${connection.user} lacks rights that a recovery of the server of ${name} needs: it would wait for them, with the data restored`,
      `as a superuser, in the database ${connection.maintenanceDatabase}: ${missing.join('; ')}`,
    ),
  ];
}

/** Dumps that this role makes, and cannot restore. */
function dumpRights(cluster: ClusterConfig, isSuperuser: boolean | undefined): readonly Finding[] {
  const dumps = policiesOf(cluster, 'databases');
  if (isSuperuser !== false || cluster.restoreAs === 'superuser' || dumps.length === 0) return [];
  return [
    warning(
      `cluster/${cluster.name}/rights`,
      `${cluster.connection.user} is no superuser: a recovery of ${cluster.name} from the dumps of ${dumps.join(', ')} is refused`,
      'connect as a superuser; or, where you trust all that is in the dumps, set restore_as: superuser for the cluster, see docs/logical.md',
    ),
  ];
}
