/**
 * The restore that runs nobody else's code with our rights. Code of whoever owned a table is in all parts of a dump: in
 * checks, domains, generated columns, bounds of partitions. It runs as a login that owns the new database and nothing
 * else, has no rights beside it, and is closed before anything gets its owner. What it may have changed is seen, because
 * the schema that came out is compared with that of the dump first.
 */
import type pg from 'pg';
import type { TableCount } from '../../../domain/backup/backup.js';
import { isRepriseError, isRetryable, RepriseError } from '../../../domain/errors.js';
import { databaseMark } from '../../../domain/plan/recovery-place.js';
import {
  dropRestoreLogin,
  noteCompared,
  openRestoreLogin,
  restoreLoginState,
  restoreRole,
} from '../../../postgres/connection/restore-login.js';
import { granteesOf, ownersOf, ownerStatements, partsOf } from '../archive/parts.js';
import { namedObjects, refusedObjects } from '../archive/refused-objects.js';
import type { RefusedObject } from '../archive/refused-objects.js';
import type { ArchiveToc } from '../archive/toc.js';
import { encodeName } from '../repository/names.js';
import { summarize } from '../repository/verify.js';
import { keyOf } from '../archive/schema-differences.js';
import { withoutValues } from '../../../process/exec/tool-rules.js';
import { compareSchema } from './compare-schema.js';
import { refuseRewrittenRows } from './rewritten-rows.js';
import {
  closeLogin,
  endGuard,
  inDatabase,
  listOption,
  loadExtensionData,
  loginFiles,
  maintenance,
  makeExtensions,
  workDirectory,
} from './login-work.js';
import { sharedNames } from '../../../postgres/content/encoding.js';
import { asDumpText, sharedBytes, sharedName, withDumpText } from './dump-text.js';
import type { Unprivileged } from './login-work.js';
import { createOnce, dropOurs, isOurs, markAgain } from './new-database.js';
import { readNote, writeNote } from './restore-note.js';
import type { RestoreNote } from './restore-note.js';
import { withSearchPath } from './search-path.js';
import { jobsOption, restorableToc, runPgRestore, sessionsOf, tablespacesThere } from './pg-restore.js';
import type { RestoreComplaints, Restoring } from './pg-restore.js';
import { removeTree } from '../../../files/remove-tree.js';

/** What a person types to have a dump restored that a login without rights cannot. */
const SUPERUSER_HINT =
  'where you trust all who own something in this database: set restore_as: superuser for the cluster, then plan again';
/** So many statements are one transaction: few enough for the server's lock table. */
const BATCH = 200;
/** So many missing objects are named. */
const MOST_MISSING = 100;

/**
 * Restores and compares, and has `count` look at what is there; then gives it to its owners. A later attempt goes on where
 * an earlier one was.
 * @returns what was noted, and the errors that a person decides on
 * @throws RepriseError `privilege-missing` for what only a superuser may make; `check-failed` where the dump's own code
 *   changed what was restored
 */
export async function restoreUnprivileged<T extends { readonly contents: readonly TableCount[] }>(
  restoring: Restoring,
  {
    analyze,
    count,
  }: { readonly analyze: () => Promise<void>; readonly count: (errors: readonly string[]) => Promise<T> },
): Promise<{ readonly accepted: readonly string[]; readonly errors: readonly string[]; readonly counted: T }> {
  const { database, manifest } = restoring;
  const state = await maintenance(restoring, (client) => restoreLoginState(client, database.name));
  // The login is made first and dropped last: without it, a database of ours is whole.
  if (state === 'absent' && (await isOurs(database))) {
    const { accepted, errors } = await readNote(restoring);
    return { accepted, errors, counted: await count(errors) };
  }
  const toc = await restorableToc(restoring);
  refuseSuperuserObjects(toc);
  const tablespaces = await tablespacesThere(database.connection, manifest);
  const work: Unprivileged = { ...restoring, toc, parts: partsOf(toc), tablespaces };
  let note = state === 'compared' ? await readNote(work) : null;
  let found: readonly string[] = note?.errors ?? [];
  let accepted: readonly string[] = [];
  if (note === null) {
    const restored = await withSearchPath(work, (searchPath) => restoreOnce(work, searchPath));
    found = restored.errors;
    accepted = withoutViews(restored.accepted);
    await closeLogin(work);
    await markAgain(database, manifest);
    await analyze();
    await endGuard(work);
  }
  // Counting runs no code of the dump, so that it need not wait for the comparison.
  const [schema, counts] = await Promise.allSettled([
    note === null ? compareSchema(work, found.length > 0) : [],
    count(found),
  ]);
  if (schema.status === 'rejected') throw schema.reason;
  if (counts.status === 'rejected') throw counts.reason;
  const counted = counts.value;
  if (note === null) {
    await inDatabase(work, (client) => refuseRewrittenRows(client, counted.contents));
    const missing = schema.value.map(({ object }) => `${object} is missing`);
    note = {
      accepted: [...accepted],
      errors: [...found, ...bounded(missing)],
      missing: schema.value.map(({ key }) => key),
    };
    await writeNote(work, note);
    await maintenance(work, (client) => noteCompared(client, database.name));
  }
  return { ...(await giveToOwners(work, note)), counted };
}

/** Of many only some are listed: the errors that they come from are listed before. */
function bounded(missing: readonly string[]): readonly string[] {
  const more = missing.length - MOST_MISSING;
  return more <= 0 ? missing : [...missing.slice(0, MOST_MISSING), `and ${more} more objects are missing`];
}

/**
 * Owners, then rights, publications and views; event triggers last, so that nothing of ours starts them. Of what is missing there is
 * nothing to give; whatever else fails then is an error more.
 */
async function giveToOwners(work: Unprivileged, note: RestoreNote): Promise<Pick<RestoreNote, 'accepted' | 'errors'>> {
  const { servers, extensions, byLogin, sequences, rights } = work.parts;
  const { connection, name } = work.database;
  const missing = new Set(note.missing);
  const owned = [...extensions.filter(({ kind }) => kind === 'SCHEMA'), ...servers, ...byLogin].filter(
    (entry) => !missing.has(keyOf(entry)),
  );
  await inDatabase(work, async (client) => {
    await runInBatches(client, work.toc, ownerStatements(owned, asDumpText(work.toc, connection.user)));
    await giveMultiranges(client, restoreRole(name));
  });
  const errors = [...note.errors];
  if (sequences.length > 0) {
    const run = await runPgRestore(work, {
      step: `restore-sequences:${encodeName(name)}@${work.systemIdentifier}`,
      connection,
      options: [await listOption(work, 'sequences', sequences)],
    });
    errors.push(...run.errors);
  }
  if (rights.length > 0) {
    const run = await runPgRestore(work, {
      step: `restore-rights:${encodeName(name)}@${work.systemIdentifier}`,
      connection,
      options: [...(note.errors.length > 0 ? [] : ['--single-transaction']), await listOption(work, 'rights', rights)],
    });
    errors.push(...run.errors);
  }
  await refreshViews(work);
  const unfilled = await inDatabase(work, (client) => unfilledViews(client, work));
  errors.push(...(await eventTriggersOf(work, missing)));
  await inDatabase(work, (client) => refuseLeftovers(client, restoreRole(name)));
  const told = { accepted: [...note.accepted, ...unfilled], errors };
  await writeNote(work, { ...told, missing: note.missing });
  await maintenance(work, (client) => dropRestoreLogin(client, name, loginFiles(work)));
  return told;
}

/** Materialized views that had rows and could be filled by nobody, each with what to do. */
async function unfilledViews(client: pg.Client, { parts }: Unprivileged): Promise<readonly string[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    'SELECT schemaname::text AS schema, matviewname::text AS name FROM pg_catalog.pg_matviews WHERE NOT ispopulated',
  );
  const empty = new Set(rows.map(({ schema, name }) => JSON.stringify([schema, name])));
  return parts.views
    .filter(({ schema, tag }) => empty.has(JSON.stringify([schema, tag])))
    .map(
      ({ schema, tag, owner }) =>
        `materialized view ${schema}.${tag} is empty: it could be filled neither without rights nor as ${owner}; REFRESH MATERIALIZED VIEW fills it`,
    );
}

/** Up to PostgreSQL 15 a multirange type does not go with its range type, and no dump names its owner. */
async function giveMultiranges(client: pg.Client, role: string): Promise<void> {
  const { rows } = await client.query<{ statement: string }>(
    `SELECT pg_catalog.format('ALTER TYPE %I.%I OWNER TO %I', n.nspname, m.typname, pg_catalog.pg_get_userbyid(t.typowner)) AS statement
       FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type m ON m.oid = (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.regtype::pg_catalog.oid
       JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid JOIN pg_catalog.pg_namespace n ON n.oid = m.typnamespace
      WHERE pg_catalog.pg_get_userbyid(m.typowner) = $1`,
    [role],
  );
  for (const { statement } of rows) await client.query(statement);
}

/** @throws RepriseError `check-failed` where something still belongs to the login: the dump named no owner of it */
async function refuseLeftovers(client: pg.Client, role: string): Promise<void> {
  const { rows } = await client.query<{ object: string }>(
    `SELECT pg_catalog.pg_describe_object(classid, objid, objsubid) AS object FROM pg_catalog.pg_shdepend
      WHERE refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
        AND refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1)
        AND dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1`,
    [role],
  );
  if (rows.length === 0) return;
  throw new RepriseError(
    'check-failed',
    `what was restored has no owner in the dump: ${summarize(rows.map(({ object }) => object))}`,
    SUPERUSER_HINT,
  );
}

/** Takes back the login of a restore that failed, and what was written for it. */
export async function discardLogin(restoring: Restoring): Promise<void> {
  await maintenance(restoring, (client) => dropRestoreLogin(client, restoring.database.name, loginFiles(restoring)));
  await removeTree(workDirectory(restoring));
}

function refuseSuperuserObjects(toc: ArchiveToc): void {
  const refused = refusedObjects(toc);
  if (refused.length > 0) throw needsSuperuser(refused);
}

/** What is said of a dump with such objects, before anything is changed. */
export function needsSuperuser(refused: readonly RefusedObject[]): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `a login without rights cannot restore ${namedObjects(refused)}`,
    SUPERUSER_HINT,
  );
}

/** What is not filled is looked for at the end, when owners have filled theirs. */
function withoutViews(accepted: readonly string[]): readonly string[] {
  return accepted.filter((complaint) => !complaint.includes('REFRESH MATERIALIZED VIEW'));
}

async function restoreOnce(work: Unprivileged, searchPath: string | null): Promise<RestoreComplaints> {
  const { context, database, manifest, tablespaces, parts } = work;
  const { connection, name, operationId } = database;
  const login = await maintenance(work, async (client) => {
    await requireRoles(client, work);
    return openRestoreLogin(
      client,
      connection,
      { database: name, mark: databaseMark(operationId), sessions: sessionsOf(work) },
      loginFiles(work),
    );
  });
  const isNew = (await createOnce(database, manifest, login.role)) === 'made';
  const fill = async (): Promise<void> => {
    await makeExtensions(work, login, searchPath);
    await loadExtensionData(work);
  };
  const makeAnew = async (): Promise<void> => {
    await dropOurs(database);
    await createOnce(database, manifest, login.role);
    await fill();
  };
  const step = searchPath === null ? 'restore' : 'restore-with-search-path';
  const restored = await runPgRestore(work, {
    step: `${step}:${encodeName(name)}@${work.systemIdentifier}`,
    connection: login.connection,
    options: [
      jobsOption(work),
      '--no-owner',
      '--no-acl',
      ...(tablespaces === null ? ['--no-tablespaces'] : []),
      await listOption(work, 'login', parts.byLogin),
    ],
    // Of one that an earlier attempt made, nobody knows how far its extensions have come.
    prepare: isNew ? fill : makeAnew,
    cleanUp: makeAnew,
    privilegeHint: SUPERUSER_HINT,
  });
  context.signal.throwIfAborted();
  return restored;
}

/** @throws RepriseError `check-failed` where an owner, or who has rights, is no role of this server */
async function requireRoles(client: pg.Client, { parts, toc }: Unprivileged): Promise<void> {
  const owners = ownersOf([...parts.servers, ...parts.byLogin, ...parts.eventTriggers]);
  const needed = [...new Set([...owners, ...granteesOf(parts.rights)])];
  const there = new Set(await sharedNames(client, 'rolname', 'FROM pg_catalog.pg_roles'));
  const missing = needed.filter((name) => !there.has(sharedBytes(toc, name))).map((name) => sharedName(toc, name));
  if (missing.length === 0) return;
  throw new RepriseError(
    'check-failed',
    `the dump needs roles that do not exist on this server: ${summarize(missing.map((name) => JSON.stringify(name)))}`,
    'create them (CREATE ROLE), then try again',
  );
}

async function runInBatches(client: pg.Client, toc: ArchiveToc, statements: readonly string[]): Promise<void> {
  await withDumpText(client, toc, async (run) => {
    for (let start = 0; start < statements.length; start += BATCH)
      await run(statements.slice(start, start + BATCH).join(';\n'));
  });
}

/**
 * Fills views with the rights of their owners, as REFRESH does it. Where a superuser owns one, or a role that may use files
 * or programs of the host, it stays as the login has filled it.
 */
async function refreshViews(work: Unprivileged): Promise<void> {
  const { views } = work.parts;
  if (views.length === 0) return;
  const mighty = new Set(await maintenance(work, mightyRoles));
  const others = views.filter(({ owner }) => owner !== '' && !mighty.has(sharedBytes(work.toc, owner)));
  if (others.length === 0) return;
  await runPgRestore(work, {
    step: `restore-views:${encodeName(work.database.name)}@${work.systemIdentifier}`,
    connection: work.database.connection,
    options: [await listOption(work, 'views', others)],
  });
}

/** Bytes of the names of roles that may use files and programs of the server's host: what their views call may be anybody's. */
async function mightyRoles(client: pg.Client): Promise<readonly string[]> {
  return sharedNames(
    client,
    'r.rolname',
    `FROM pg_catalog.pg_roles r
      WHERE r.rolsuper OR EXISTS (
        SELECT FROM pg_catalog.pg_roles p
         WHERE p.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
           AND pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER'))`,
  );
}

/** @returns why they could not be made, where something that they need is missing */
async function eventTriggersOf(work: Unprivileged, missing: ReadonlySet<string>): Promise<readonly string[]> {
  if (work.parts.eventTriggers.length === 0) return [];
  try {
    await inDatabase(work, (client) => addEventTriggers(client, work));
    return [];
  } catch (error) {
    if (missing.size === 0 || !isRepriseError(error) || isRetryable(error)) throw error;
    return [`event triggers could not be made: ${withoutValues(error.message)}`];
  }
}

async function addEventTriggers(client: pg.Client, { parts, toc, database }: Unprivileged): Promise<void> {
  const entries = parts.eventTriggers;
  // An extension's own are there already.
  const { rows } = await client.query('SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = ANY ($1)', [
    entries.map(({ tag }) => tag),
  ]);
  if (rows.length > 0) return;
  const owners = ownerStatements(entries, asDumpText(toc, database.connection.user));
  await client.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
  await withDumpText(client, toc, async (run) => {
    for (const statement of [...entries.map(({ definition }) => definition), ...owners]) await run(statement);
  });
  await client.query('COMMIT');
}
