import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import { type AppliedMigration, deploymentBegan } from '../../domain/incident/migration.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { type QuerySource, withConfiguredQuery } from './configured-query.js';
import { withClient } from '../connection/with-client.js';

/** A table in which a tool writes down what it has applied. */
interface KnownTable {
  readonly name: string;
  /** Column that names a migration, and the one that says when it was applied. */
  readonly columns: readonly [name: string, at: string];
  /** What says when it began, in SQL, from one column more; absent: nothing does. */
  readonly begun?: { readonly column: string; readonly sql: string; readonly isDeployment?: true };
}

/** Django, Flyway, Liquibase, Knex, Prisma. Those of Rails and Alembic record no time. */
const KNOWN: readonly KnownTable[] = [
  { name: 'django_migrations', columns: ['name', 'applied'] },
  {
    ...{ name: 'flyway_schema_history', columns: ['script', 'installed_on'] },
    begun: { column: 'execution_time', sql: "installed_on - execution_time * interval '1 millisecond'" },
  },
  // Each run has an id, which is made from the clock at its beginning.
  {
    ...{ name: 'databasechangelog', columns: ['id', 'dateexecuted'] },
    begun: { column: 'deployment_id', sql: 'deployment_id', isDeployment: true },
  },
  { name: 'knex_migrations', columns: ['name', 'migration_time'] },
  {
    ...{ name: '_prisma_migrations', columns: ['migration_name', 'started_at'] },
    begun: { column: 'started_at', sql: 'started_at' },
  },
];

/** Lines that are read: migrations that belong together are fewer. */
const MOST = 200;

/** What was applied to a database, the last ones first, and where that stands. */
export interface MigrationRecord {
  readonly recordedIn: string;
  readonly migrations: readonly AppliedMigration[];
}

/**
 * The migration table of a known tool in a database; null where it has none. A time without a zone counts as one of the server's.
 * @throws RepriseError what {@link withConfiguredQuery} throws
 */
export async function knownMigrations(source: QuerySource, database: string): Promise<MigrationRecord | null> {
  const found = await withClient(source.connection, database, findKnown);
  for (const { table, columns, begun } of found) {
    const [name, at] = columns.map((column) => pg.escapeIdentifier(column));
    const from = `${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.table)}`;
    const isDeployment = begun?.isDeployment === true;
    const type = isDeployment ? 'text' : 'timestamptz';
    const third = begun === undefined ? '' : `, (${begun.sql})::pg_catalog.${type}`;
    const query = `SELECT ${name}::pg_catalog.text, ${at}::pg_catalog.timestamptz${third} FROM ${from} WHERE ${at} IS NOT NULL ORDER BY ${at} DESC LIMIT ${MOST}`;
    const migrations = await readApplied(source, { database, query, timeoutSeconds: 60 }, isDeployment);
    if (migrations.length > 0) return { recordedIn: formatTableName(table), migrations };
  }
  return null;
}

async function findKnown(
  client: pg.ClientBase,
): Promise<readonly ({ readonly table: TableName } & Pick<KnownTable, 'columns' | 'begun'>)[]> {
  const { rows } = await client.query<TableName & { columns: string[] }>(
    `SELECT n.nspname::text AS schema, c.relname::text AS "table",
            ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relname = ANY($1) AND n.nspname !~ '^pg_'
      ORDER BY 1, 2`,
    [KNOWN.map(({ name }) => name)],
  );
  return rows.flatMap(({ schema, table, columns }) => {
    const known = KNOWN.find(({ name }) => name === table);
    if (known === undefined || !known.columns.every((column) => columns.includes(column))) return [];
    const { begun } = known;
    // Older versions of a tool may lack it.
    const told = begun === undefined || !columns.includes(begun.column) ? {} : { begun };
    return [{ table: { schema, table }, columns: known.columns, ...told }];
  });
}

/**
 * What a query of the configuration says was applied: its rows are the name of a migration, when it was applied and, where it gives a third
 * column, when it began.
 * @param deployments the third column is an id of Liquibase
 * @throws RepriseError `config-invalid` for other columns; what {@link withConfiguredQuery} throws
 */
export function readApplied(
  source: QuerySource,
  { database, query, timeoutSeconds }: { database: string; query: string; timeoutSeconds: number },
  deployments = false,
): Promise<readonly AppliedMigration[]> {
  const run = async (client: pg.ClientBase): Promise<readonly AppliedMigration[]> => {
    // The extended protocol takes one statement only: no second one can hide behind a semicolon.
    const extended = { text: query, rowMode: 'array' as const, queryMode: 'extended' as const };
    const { rows, fields } = await client.query<unknown[]>(extended);
    if (fields.length !== 2 && fields.length !== 3) throw otherColumns();
    return rows.slice(0, MOST).map(([name, applied, third = null]) => {
      const at = instantOf(applied);
      const begun = third === null ? null : deployments ? deploymentBegan(String(third), at) : instantOf(third);
      return { name: String(name), at, ...(begun === null ? {} : { begunAt: begun }) };
    });
  };
  const statementTimeoutMs = timeoutSeconds * 1000;
  return withConfiguredQuery(source, {
    ...{ database, query, statementTimeoutMs, run },
    runUnplanned: () => Promise.resolve(null),
  });
}

/** @throws RepriseError `config-invalid` for what is no time */
function instantOf(value: unknown): string {
  const time = value instanceof Date ? value : new Date(String(value));
  if (Number.isNaN(time.getTime())) throw otherColumns();
  return time.toISOString();
}

function otherColumns(): RepriseError {
  return new RepriseError(
    'config-invalid',
    'the query for migrations does not give two columns, a name and a time, or a third one: when it began',
    'write it so: SELECT name, applied FROM public.django_migrations ORDER BY applied DESC LIMIT 50',
  );
}
