import { createHash } from 'node:crypto';
import type pg from 'pg';
import { RepriseError } from '../../../domain/errors.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { decryptBytes } from '../../../process/age/age-text.js';
import { sharedNames, textOrBytes } from '../../../postgres/content/encoding.js';
import type { EngineContext, RestoreGlobalsRequest } from '../../engine.js';
import { withoutValues } from '../../../process/exec/tool-rules.js';
import { parseGlobals } from './globals-script.js';
import type { GlobalStatement } from './globals-script.js';
import { readIfThere } from '../../shared/manifest.js';
import { boundManifest, manifestFiles } from '../repository/manifest.js';
import type { DumpManifest } from '../repository/manifest.js';

/**
 * Makes the roles and tablespaces that the server lacks. What is there already is never altered: neither its password
 * nor its memberships. Roles come in one transaction, so that none is left half made. Returns what was done, in words
 * without hashes.
 *
 * Tablespaces are made at their recorded place on the cluster's own server only: elsewhere, such as in a drill on the
 * same host, that place is production's.
 *
 * @throws RepriseError `backup-corrupt`, `key-missing`, `privilege-missing`, `database-unreachable`
 */
export async function restoreGlobals(
  context: EngineContext,
  { backup, content, connection }: RestoreGlobalsRequest,
): Promise<readonly string[]> {
  const manifest = await boundManifest(context, backup.label, content);
  const { missing, passwords } = manifest.globals;
  if (missing !== undefined) return [`no role and no tablespace is in the backup: ${missing}`];
  const { statements, strange } = inText(parseGlobals((await readGlobals(context, manifest)).toString('latin1')));
  return withMaintenance(connection, async (client) => {
    const roles = [...(await createRoles(client, statements, passwords)), ...(await leftOut(client, strange))];
    const isOwnServer =
      connection.host === context.cluster.connection.host && connection.port === context.cluster.connection.port;
    return [...roles, ...(await createTablespaces(client, statements, isOwnServer))];
  });
}

/** The file of roles, read once: what is compared with its hash is what is used. */
async function readGlobals(context: EngineContext, manifest: DumpManifest): Promise<Buffer> {
  const { globals: key } = manifestFiles(context, manifest);
  const stored = await readIfThere(context.storage, key);
  const damage =
    stored === null
      ? `${key} is missing`
      : createHash('sha256').update(stored).digest('hex') === manifest.globals.sha256
        ? null
        : `the SHA-256 of ${key} differs from the recorded one`;
  if (stored === null || damage !== null)
    throw new RepriseError('backup-corrupt', damage ?? key, 'choose another backup with recover --to backup:ID');
  if (manifest.encryption === undefined) return stored;
  return decryptBytes(context.policy.encryption, key, stored, context.user);
}

/**
 * Statements that were read byte by byte, as text in UTF-8. What is none is left out: names are bytes that no client of another
 * encoding can send.
 */
function inText(read: readonly GlobalStatement[]): {
  readonly statements: readonly GlobalStatement[];
  /** Roles with such a name, in hex. */
  readonly strange: readonly string[];
} {
  const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
  const statements = read
    .filter(({ sql }) => textOrBytes(bytesOf(sql)).isText)
    .map(
      (statement) =>
        Object.fromEntries(
          Object.entries(statement).map(([key, text]) => [key, textOrBytes(bytesOf(text)).text]),
        ) as unknown as GlobalStatement,
    );
  const strange = read.flatMap((statement) =>
    statement.kind === 'create-role' && !textOrBytes(bytesOf(statement.role)).isText
      ? [bytesOf(statement.role).toString('hex')]
      : [],
  );
  return { statements, strange };
}

/** Roles whose names are no text, and that the server has not. */
async function leftOut(client: pg.Client, strange: readonly string[]): Promise<readonly string[]> {
  if (strange.length === 0) return [];
  const existing = new Set(await sharedNames(client, 'rolname', 'FROM pg_catalog.pg_roles'));
  return strange
    .filter((name) => !existing.has(name))
    .map(
      (name) =>
        `role ${textOrBytes(Buffer.from(name, 'hex')).text} not created, nor what was granted to it: its name is no text in UTF-8; make it from a database of its encoding`,
    );
}

async function createRoles(
  client: pg.Client,
  statements: readonly GlobalStatement[],
  passwords: boolean,
): Promise<readonly string[]> {
  const existing = await namesIn(client, 'SELECT rolname::text AS name FROM pg_catalog.pg_roles');
  const created = new Set<string>();
  await client.query('BEGIN');
  for (const statement of statements) {
    if (statement.kind === 'create-role' && !existing.has(statement.role)) {
      await run(client, statement, `role ${statement.role}`);
      created.add(statement.role);
    } else if ((statement.kind === 'alter-role' || statement.kind === 'comment-role') && created.has(statement.role)) {
      await run(client, statement, `role ${statement.role}`);
    } else if (statement.kind === 'grant-parameter' && created.has(statement.role)) {
      await run(client, statement, `right of ${statement.role} to set a parameter`);
    } else if (statement.kind === 'grant-role' && created.has(statement.member)) {
      await run(client, statement, `membership of ${statement.member} in ${statement.granted}`);
    }
  }
  await client.query('COMMIT');
  const labels = await labelRoles(client, statements, created);
  const note = passwords ? '' : ', without a password: the backup role could not read it';
  return [...[...created].map((role) => `role ${role} created${note}`), ...labels];
}

/** Security labels of the roles that were made; what the server has no provider for is told. */
async function labelRoles(
  client: pg.Client,
  statements: readonly GlobalStatement[],
  created: ReadonlySet<string>,
): Promise<readonly string[]> {
  const left: string[] = [];
  for (const statement of statements) {
    if (statement.kind !== 'label-role' || !created.has(statement.role)) continue;
    const reason = await tryTo(client, statement.sql);
    if (reason !== null)
      left.push(`the security label of ${statement.provider} on role ${statement.role} was left out: ${reason}`);
  }
  return left;
}

async function createTablespaces(
  client: pg.Client,
  statements: readonly GlobalStatement[],
  isOwnServer: boolean,
): Promise<readonly string[]> {
  const existing = await namesIn(client, 'SELECT spcname::text AS name FROM pg_catalog.pg_tablespace');
  const done: string[] = [];
  const created = new Set<string>();
  for (const statement of statements) {
    if (statement.kind === 'create-tablespace' && !existing.has(statement.tablespace)) {
      const missing = isOwnServer ? await tryTo(client, statement.sql) : "its place is the source server's";
      if (missing === null) created.add(statement.tablespace);
      done.push(
        missing === null
          ? `tablespace ${statement.tablespace} created at ${statement.location}`
          : `tablespace ${statement.tablespace} (was at ${statement.location}) not created: ${missing}; what was in it goes to the default tablespace`,
      );
    } else if (statement.kind === 'alter-tablespace' && created.has(statement.tablespace)) {
      await run(client, statement, `tablespace ${statement.tablespace}`);
    }
  }
  return done;
}

/** Runs a statement of a role; its error never quotes it, for it may hold a password's hash. */
async function run(client: pg.Client, statement: GlobalStatement, what: string): Promise<void> {
  const reason = await tryTo(client, statement.sql);
  if (reason === null) return;
  const hint =
    'the role of the connection must be a superuser, or have CREATEROLE and what the roles have; or make them by hand first';
  throw new RepriseError('privilege-missing', `${what} could not be made: ${reason}`, hint);
}

/** Why a statement was refused; null where it was not. */
async function tryTo(client: pg.Client, sql: string): Promise<string | null> {
  try {
    await client.query(sql);
    return null;
  } catch (error) {
    // A lost connection is no answer of the server's.
    if (!(error instanceof Error) || !('severity' in error) || error.severity !== 'ERROR') throw error;
    return withoutValues(error.message);
  }
}

async function namesIn(client: pg.Client, sql: string): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string }>(sql);
  return new Set(rows.map(({ name }) => name));
}
