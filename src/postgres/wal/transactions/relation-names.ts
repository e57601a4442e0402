import type pg from 'pg';
import type { ConnectionConfig } from '../../../domain/config.js';
import type { TableName } from '../../../domain/table/table-name.js';
import { databaseTextReader, inDatabaseBytes, sharedNames, textOrBytes } from '../../content/encoding.js';
import { withClient, withMaintenance } from '../../connection/with-client.js';
import { walkDatabases } from '../../server/databases.js';
import type { RelationFile } from './record-text.js';

/** A table as the catalogue of a server names it now. */
export interface NamedTable extends TableName {
  readonly database: string;
  readonly oid: number;
  /** `toast`: out-of-line values of the table; `system`: of PostgreSQL itself. */
  readonly kind: 'table' | 'toast' | 'system';
  readonly partitionOf?: TableName;
  /** Its file now; null for a partitioned table, which has none. */
  readonly file: number | null;
  readonly tablespace: number;
}

/** First OID of what users make. */
const FIRST_USER_OID = 16_384;

/** Names of the tables of a server's databases, by the files that hold them and by their OIDs. */
export class RelationNames {
  private readonly databases = new Map<number, string>();
  private readonly byFile = new Map<string, NamedTable>();
  private readonly byOid = new Map<string, NamedTable>();

  /** @param from what names come from; null: nothing is named */
  constructor(
    databases: ReadonlyMap<number, string> = new Map(),
    tables: Iterable<NamedTable & { readonly databaseOid: number }> = [],
  ) {
    for (const [oid, name] of databases) this.databases.set(oid, name);
    for (const table of tables) {
      this.byOid.set(`${table.databaseOid}/${table.oid}`, table);
      if (table.file !== null) this.byFile.set(`${table.tablespace}/${table.databaseOid}/${table.file}`, table);
    }
  }

  /** What either of them names; where both do, the first. A table that was rewritten meanwhile has a file in each, and is one table. */
  static merged(first: RelationNames, second: RelationNames): RelationNames {
    const both = new RelationNames(new Map([...second.databases, ...first.databases]));
    for (const { byFile, byOid } of [second, first]) {
      for (const [key, table] of byFile) both.byFile.set(key, table);
      for (const [key, table] of byOid) both.byOid.set(key, table);
    }
    for (const [key, { oid }] of both.byFile) {
      const known = both.byOid.get(`${key.split('/')[1]}/${oid}`);
      if (known !== undefined) both.byFile.set(key, known);
    }
    return both;
  }

  /** Nothing is named. */
  get isEmpty(): boolean {
    return this.databases.size === 0;
  }

  database(oid: number): string | null {
    return this.databases.get(oid) ?? null;
  }

  databaseOid(name: string): number | undefined {
    return [...this.databases].find(([, known]) => known === name)?.[0];
  }

  /**
   * The table whose rows a file holds. One that has another file since then, after a rewrite or TRUNCATE, is found by its OID, which
   * is the number of its first file.
   */
  ofFile({ tablespace, database, file }: RelationFile): NamedTable | null {
    return this.byFile.get(`${tablespace}/${database}/${file}`) ?? this.byOid.get(`${database}/${file}`) ?? null;
  }

  ofOid(database: number, oid: number): NamedTable | null {
    return this.byOid.get(`${database}/${oid}`) ?? null;
  }

  /** A table with its partitions, and those of PostgreSQL too; empty where there is none of that name. */
  tablesNamed(database: string, { schema, table }: TableName): readonly NamedTable[] {
    const isNamed = (one: TableName | undefined): boolean => one?.schema === schema && one.table === table;
    return [...this.byOid.values()].filter(
      (one) => one.database === database && one.kind !== 'toast' && (isNamed(one) || isNamed(one.partitionOf)),
    );
  }
}

/** A file that is of PostgreSQL itself, unless it was rewritten: then only the catalogue tells. */
export function isSystemFile({ file }: RelationFile): boolean {
  return file < FIRST_USER_OID;
}

/**
 * Reads the names from a running server.
 * @param only this database, where nothing of others is asked
 * @throws RepriseError as {@link withClient}
 */
export async function readRelationNames(connection: ConnectionConfig, only?: string): Promise<RelationNames> {
  const { names, usable } = await withMaintenance(connection, async (client) => ({
    names: await databaseNames(client),
    usable: (await walkDatabases(client)).usable,
  }));
  const oids = new Map([...names].map(([oid, name]) => [name, oid]));
  const tables: (NamedTable & { databaseOid: number })[] = [];
  for (const database of usable) {
    const databaseOid = oids.get(database);
    if (databaseOid === undefined || (only !== undefined && only !== database)) continue;
    for (const table of await withClient(connection, database, (client) => tablesOf(client, database)))
      tables.push({ ...table, databaseOid });
  }
  return new RelationNames(names, tables);
}

async function databaseNames(client: pg.Client): Promise<ReadonlyMap<number, string>> {
  const rest = 'FROM pg_catalog.pg_database d ORDER BY d.oid';
  const names = await sharedNames(client, 'datname', rest);
  const { rows } = await client.query<{ oid: string }>(`SELECT d.oid::pg_catalog.text AS oid ${rest}`);
  return new Map(rows.map(({ oid }, index) => [Number(oid), textOrBytes(Buffer.from(names[index] ?? '', 'hex')).text]));
}

interface Row {
  readonly oid: string;
  readonly file: string | null;
  readonly tablespace: string;
  readonly kind: NamedTable['kind'];
  readonly schema: string;
  readonly table: string;
  readonly root_schema: string | null;
  readonly root: string | null;
}

/** Tables, materialized views and partitioned tables of the connected database, and the TOAST tables under the names of their own. */
async function tablesOf(client: pg.Client, database: string): Promise<NamedTable[]> {
  const read = await databaseTextReader(client);
  const [schema, table, rootSchema, root] = ['n.nspname', 'o.relname', 'rn.nspname', 'r.relname'].map(inDatabaseBytes);
  const { rows } = await client.query<Row>(`
    SELECT c.oid::text AS oid, nullif(pg_catalog.pg_relation_filenode(c.oid), 0)::text AS file,
           (CASE WHEN c.relisshared THEN 1664 WHEN c.reltablespace = 0 THEN d.dattablespace ELSE c.reltablespace END)::text AS tablespace,
           CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') THEN 'system' WHEN c.relkind = 't' THEN 'toast' ELSE 'table' END AS kind,
           ${schema} AS schema, ${table} AS "table", ${rootSchema} AS root_schema, ${root} AS root
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
      LEFT JOIN pg_catalog.pg_class t ON c.relkind = 't' AND t.reltoastrelid = c.oid
      JOIN pg_catalog.pg_class o ON o.oid = coalesce(t.oid, c.oid)
      JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
      LEFT JOIN pg_catalog.pg_class r ON o.relispartition AND r.oid = pg_catalog.pg_partition_root(o.oid)
      LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
     WHERE c.relkind IN ('r', 'm', 't', 'p') AND c.relpersistence <> 't'`);
  return rows.map((row) => ({
    ...{ database, kind: row.kind, oid: Number(row.oid), file: row.file === null ? null : Number(row.file) },
    tablespace: Number(row.tablespace),
    ...{ schema: read(row.schema), table: read(row.table) },
    ...(row.root === null ? {} : { partitionOf: { schema: read(row.root_schema ?? ''), table: read(row.root) } }),
  }));
}
