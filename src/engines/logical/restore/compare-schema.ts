import { join } from 'node:path';
import { RepriseError } from '../../../domain/errors.js';
import { databaseMark } from '../../../domain/plan/recovery-place.js';
import { libpqEnv } from '../../../postgres/connection/environment.js';
import { dropRestoreLogin, openRestoreLogin, restoreRole } from '../../../postgres/connection/restore-login.js';
import { withClient } from '../../../postgres/connection/with-client.js';
import { functionParts, withoutBody } from '../archive/function-body.js';
import { tocOf } from '../archive/read-toc.js';
import { expectedSchema, foundSchema, keyOf, schemaDifferences, textOf } from '../archive/schema-differences.js';
import type { SchemaDifference } from '../archive/schema-differences.js';
import type { TocEntry } from '../archive/toc.js';
import { encodeName } from '../repository/names.js';
import { summarize } from '../repository/verify.js';
import { createOnce, dropOurs } from './new-database.js';
import {
  closeLogin,
  endGuard,
  loginFiles,
  madeWorkDirectory,
  maintenance,
  makeExtensions,
  workDirectory,
} from './login-work.js';
import type { Unprivileged } from './login-work.js';
import { withDumpText } from './dump-text.js';
import { runRestoreJob } from './pg-restore.js';
import { removeTree } from '../../../files/remove-tree.js';

/**
 * Compares what was restored with what the dump defines, while it belongs to nobody: code in the dump may have replaced
 * a function that others call, or added a trigger.
 *
 * PostgreSQL writes some definitions in another way once they were restored, and another version writes them in its own: an
 * object that differs is compared with what the server makes of the dump's own definition, in a database without rows in
 * which no function has a body. No code of the dump can run there.
 * @param hadErrors what could not be made may be missing then: a person decides on that
 * @returns what is missing
 * @throws RepriseError `check-failed` where the restored schema is not that of the dump
 */
export async function compareSchema(work: Unprivileged, hadErrors: boolean): Promise<readonly SchemaDifference[]> {
  const expected = comparable(work, expectedSchema(work.toc));
  const found = comparable(work, await schemaOf(work));
  const differences = schemaDifferences(expected, found);
  if (differences.length === 0) return [];
  const canonical = comparable(work, await canonicalSchema(work));
  const left = differences.filter((difference) => !isSame(difference, { expected, found, canonical }));
  if (left.length === 0 || (hadErrors && left.every(({ what }) => what === 'missing'))) return left;
  throw new RepriseError(
    'check-failed',
    `the restored schema is not that of the dump, so that it is given to nobody: ${summarize(
      left.map(({ object, what }) => `${object} is ${what}`),
    )}`,
    'code in the dump may have changed it while it was restored: see what these objects are. The live database was not touched',
  );
}

/** Without what is the server's: where the dump's tablespaces are missing, all is in the default one. */
function comparable({ tablespaces }: Unprivileged, entries: readonly TocEntry[]): readonly TocEntry[] {
  return tablespaces === null ? entries.map((entry) => ({ ...entry, tablespace: '' })) : entries;
}

interface Schemas {
  readonly expected: readonly TocEntry[];
  readonly found: readonly TocEntry[];
  /** What the server makes of what is expected. */
  readonly canonical: readonly TocEntry[];
}

/** Whether an object is as the dump's own definition makes it; a body counts as the dump has it. */
function isSame({ key }: SchemaDifference, { expected, found, canonical }: Schemas): boolean {
  const of = (entries: readonly TocEntry[]): readonly TocEntry[] => entries.filter((entry) => keyOf(entry) === key);
  const texts = (entries: readonly TocEntry[]): string => JSON.stringify(entries.map(textOf).sort());
  const bodies = (entries: readonly TocEntry[]): string =>
    JSON.stringify(entries.map(({ kind, definition }) => functionParts(kind, definition)?.body ?? null).sort());
  const [inDump, restored] = [of(expected), of(found)];
  return (
    texts(restored.map(withoutBody)) === texts(of(canonical).map(withoutBody)) && bodies(inDump) === bodies(restored)
  );
}

/** The schema as a dump of a database has it. */
async function schemaOf(work: Unprivileged): Promise<readonly TocEntry[]> {
  const { context, database } = work;
  const path = join(await madeWorkDirectory(work), 'schema.dump');
  await runRestoreJob(work, {
    step: `restore-schema:${encodeName(database.name)}@${work.systemIdentifier}`,
    tool: 'pg_dump',
    argv: [
      join(context.pgBin, 'pg_dump'),
      ...['--format=custom', '--compress=0', '--schema-only', '--no-password'],
      `--file=${path}`,
    ],
    env: libpqEnv(database.connection, database.name, work.versionNum),
    resultIsGone: async () => true,
    progress: async () => ({ phase: `comparing the schema of ${work.manifest.database}`, done: 0, unit: 'tables' }),
  });
  return foundSchema(await tocOf(context, { key: path, path, encrypted: false }));
}

/** What this server makes of the definitions in the dump. Nothing is left of it. */
async function canonicalSchema(work: Unprivileged): Promise<readonly TocEntry[]> {
  const { manifest, database } = work;
  const name = `reprise_schema_${restoreRole(database.name).slice(-16)}`;
  const beside: Unprivileged = { ...work, database: { ...database, name } };
  const remove = async (): Promise<void> => {
    await dropOurs(beside.database);
    await maintenance(beside, (client) => dropRestoreLogin(client, name, loginFiles(beside)));
    await removeTree(workDirectory(beside));
  };
  await remove();
  try {
    const mark = databaseMark(database.operationId);
    const login = await maintenance(beside, (client) =>
      openRestoreLogin(client, database.connection, { database: name, mark, sessions: 1 }, loginFiles(beside)),
    );
    await createOnce(beside.database, manifest, login.role);
    await makeExtensions(beside, login);
    await define(beside, login.connection);
    await closeLogin(beside);
    await endGuard(beside);
    return await schemaOf(beside);
  } finally {
    await remove();
  }
}

/** Makes every object that the login may make; what cannot be made without bodies is missing then, and so differs. */
async function define(
  { toc, database, tablespaces }: Unprivileged,
  connection: Unprivileged['database']['connection'],
) {
  await withClient(connection, database.name, async (client) => {
    await client.query(
      `SET check_function_bodies = off; SET xmloption = content; SELECT pg_catalog.set_config('search_path', '', false)`,
    );
    await withDumpText(client, toc, async (run) => {
      for (const entry of expectedSchema(toc)) {
        if (/^(?:EXTENSION|SERVER)$/.test(entry.kind)) continue;
        const { definition, tablespace, accessMethod } = withoutBody(entry);
        const place = tablespaces === null ? '' : tablespace;
        await run(
          `SET default_tablespace = ${client.escapeLiteral(place)}; SET default_table_access_method = ${client.escapeLiteral(accessMethod || 'heap')}`,
        );
        await run(definition).catch((error: unknown) => {
          // An answer of the server's; a lost connection is none.
          if (!(error instanceof Error) || !('severity' in error) || error.severity !== 'ERROR') throw error;
        });
      }
    });
  });
}
