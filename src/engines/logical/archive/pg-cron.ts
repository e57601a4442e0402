import type pg from 'pg';
import { databaseConninfo } from '../tools.js';
import type { ArchiveToc, TocEntry } from './toc.js';
import { shellWord } from '../../../domain/text/text.js';

/** An extension that can be made in one database of a server only, and only where its library is preloaded. */
const EXTENSION = 'pg_cron';
/** Its own schema, which holds the jobs. */
const SCHEMA = 'cron';

/** Whether a database holds it; told by the names of its extensions. */
export const hasCron = (extensions: readonly string[]): boolean => extensions.includes(EXTENSION);

/** The one database of the server that may have it; null where its library is not preloaded. */
export async function cronDatabase(client: pg.ClientBase): Promise<string | null> {
  const { rows } = await client.query<{ name: string | null }>(
    "SELECT pg_catalog.current_setting('cron.database_name', true) AS name",
  );
  return rows[0]?.name ?? null;
}

/** The dump without it, its jobs, and the rights on them. */
export function withoutCron(toc: ArchiveToc): ArchiveToc {
  return { ...toc, entries: toc.entries.filter((entry) => !isOfCron(entry)) };
}

function isOfCron({ kind, tag, schema }: TocEntry): boolean {
  return (
    schema === SCHEMA ||
    (kind === 'EXTENSION' && tag === EXTENSION) ||
    [`EXTENSION ${EXTENSION}`, `SCHEMA ${SCHEMA}`].includes(tag)
  );
}

/**
 * What people are told of a dump that comes back without it, and how its jobs come back.
 * @param file where the dump is: its path on the host, or its key in the repository
 */
export function withoutCronText(
  { label, database, encryption }: { readonly label: string; readonly database: string; readonly encryption?: object },
  file: string,
  allowed: string | null,
): string {
  const where =
    allowed === null
      ? 'its library is not preloaded by this server (shared_preload_libraries)'
      : `this server allows it in database ${JSON.stringify(allowed)} only (cron.database_name), and the dump is restored beside that`;
  // A name with an equals sign would be read as a connection string.
  const into = shellWord(/^[\w.-]+$/.test(database) ? database : databaseConninfo(database));
  const made = `psql -d ${into} -c 'CREATE EXTENSION ${EXTENSION}'`;
  const loaded = `pg_restore --data-only --schema=${SCHEMA} -d ${into} ${shellWord(file)}`;
  const readable = encryption === undefined ? '' : ' (of the dump as age decrypts it)';
  return `${label} comes back without extension ${EXTENSION} and its jobs: ${where}. Once ${JSON.stringify(database)} has its place, load them: ${made} && ${loaded}${readable}`;
}
