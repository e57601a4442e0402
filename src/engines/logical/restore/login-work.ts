import { join } from 'node:path';
import type pg from 'pg';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { giveTo, makePrivateDirectory } from '../../../files/directories.js';
import { closeRestoreLogin, restoreDirectory } from '../../../postgres/connection/restore-login.js';
import type { LoginFiles, RestoreLogin } from '../../../postgres/connection/restore-login.js';
import { withClient, withMaintenance } from '../../../postgres/connection/with-client.js';
import { meaningOf } from '../../../process/exec/tool-rules.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';
import { useList } from '../archive/parts.js';
import type { ArchiveParts } from '../archive/parts.js';
import type { ArchiveToc, TocEntry } from '../archive/toc.js';
import { encodeName } from '../repository/names.js';
import { withDumpText } from './dump-text.js';
import { runPgRestore } from './pg-restore.js';
import { addGuard, addSearchPath, dropGuard } from './restore-guard.js';
import type { Restoring } from './pg-restore.js';

/** A restore with what is read from its dump first. */
export interface Unprivileged extends Restoring {
  readonly toc: ArchiveToc;
  readonly parts: ArchiveParts;
  /** In which objects are made; null: only in the default one. */
  readonly tablespaces: readonly string[] | null;
}

/**
 * Extensions and what belongs to them, while nothing else is in the database: no code of the dump is there yet.
 * @param searchPath of functions made from now on, where they set none; null: none
 */
export async function makeExtensions(
  work: Unprivileged,
  { role }: RestoreLogin,
  searchPath: string | null = null,
): Promise<void> {
  const { parts, tablespaces, toc } = work;
  await inDatabase(work, async (client) => {
    const escaped = client.escapeIdentifier(role);
    await withDumpText(client, toc, async (run) => {
      for (const { kind, tag, definition } of parts.extensions) {
        if (kind === 'COMMENT') continue;
        await run(definition).catch(inTermsOfServer);
        if (kind === 'SCHEMA') await run(`ALTER SCHEMA ${client.escapeIdentifier(tag)} OWNER TO ${escaped}`);
      }
      for (const { tag, definition } of parts.servers) {
        await run(definition);
        await run(`ALTER SERVER ${client.escapeIdentifier(tag)} OWNER TO ${escaped}`);
      }
    });
    for (const tablespace of tablespaces ?? [])
      await client.query(`GRANT CREATE ON TABLESPACE ${client.escapeIdentifier(tablespace)} TO ${escaped}`);
    await addGuard(client, work.database.name);
    if (searchPath !== null) await addSearchPath(client, work.database.name, searchPath);
  });
}

/** That an extension cannot be made says nothing of the dump. */
function inTermsOfServer(error: unknown): never {
  const output = error instanceof Error ? error.message : '';
  throw meaningOf(LOGICAL_TOOLS, { name: 'CREATE EXTENSION', exitCode: 1, output }) ?? error;
}

/** Ends what runs as the login. What watched it stays: making statistics runs code of the dump, too. */
export async function closeLogin(work: Unprivileged): Promise<void> {
  const { database, tablespaces } = work;
  await maintenance(work, (client) => closeRestoreLogin(client, database.name, tablespaces ?? []));
}

/** Takes away what watched the login: from here on no code of the dump runs before the comparison. */
export async function endGuard(work: Unprivileged): Promise<void> {
  await inDatabase(work, (client) => dropGuard(client, work.database.name));
}

/** Rows of the extensions' own tables, which only their owner may write. */
export async function loadExtensionData(work: Unprivileged): Promise<void> {
  const { parts, database } = work;
  if (parts.extensionData.length === 0) return;
  await runPgRestore(work, {
    step: `restore-extension-data:${encodeName(database.name)}@${work.systemIdentifier}`,
    connection: database.connection,
    options: ['--single-transaction', await listOption(work, 'extension-data', parts.extensionData)],
    resultIsGone: async () => true,
  });
}

/** Where the password of the login is. */
export function loginFiles({ context }: Restoring): LoginFiles {
  return { stateDir: context.host.stateDir, user: context.user };
}

/** Lists, dumps and notes of one restore, owner-only, as long as it lasts. */
export function workDirectory({ context, database }: Restoring): string {
  return restoreDirectory(context.host.stateDir, database.name);
}

/** The same, made. */
export async function madeWorkDirectory(work: Restoring): Promise<string> {
  const { stateDir } = work.context.host;
  const directory = workDirectory(work);
  await makePrivateDirectory(directory);
  for (const path of [join(stateDir, 'restores'), directory]) await giveTo(path, work.context.user);
  return directory;
}

/** Names entries to `pg_restore`. */
export async function listOption(work: Restoring, name: string, entries: readonly TocEntry[]): Promise<string> {
  const path = join(await madeWorkDirectory(work), `${name}.list`);
  await writeFileAtomic(path, useList(entries), work.context.user);
  return `--use-list=${path}`;
}

export function maintenance<T>({ database }: Restoring, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  const { connection } = database;
  return withMaintenance(connection, fn);
}

export function inDatabase<T>({ database }: Restoring, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  return withClient(database.connection, database.name, fn);
}
