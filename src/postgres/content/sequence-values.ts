import type pg from 'pg';
import { visible } from '../../domain/text/text.js';
import { inSnapshot, released } from '../connection/snapshot.js';
import { copyTable } from './copy-rows.js';
import { inClientBytes } from './encoding.js';

/** A sequence whose next value is in its column already: the next row would meet it. */
export interface SequenceBehind {
  readonly column: string;
}

interface OwnedSequence {
  readonly last: string | null;
  readonly start: string;
  readonly column: string;
  /** The column in each table that holds rows of its table, for COPY, in hex. */
  readonly columns: readonly string[];
}

const NEWLINE = 0x0a;

/**
 * Compares each ascending sequence that a column owns with the values in that column, read by COPY: no code of the table's owner runs. In a
 * server that replays WAL, unlogged ones are left out.
 */
export async function sequencesBehind(
  client: pg.Client,
  signal: AbortSignal,
): Promise<{ readonly sequences: number; readonly behind: readonly SequenceBehind[] }> {
  return inSnapshot(client, async () => {
    await client.query(`SET LOCAL client_encoding TO 'SQL_ASCII'; SET LOCAL row_security TO off`);
    const owned = await ownedSequences(client);
    const behind: SequenceBehind[] = [];
    for (const { last, start, column, columns } of owned) {
      signal.throwIfAborted();
      const before = last === null ? BigInt(start) - 1n : BigInt(last);
      let greatest: bigint | null = null;
      for (const name of columns) {
        const found = await released(client, () => greatestOf(client, name));
        if (found !== null && (greatest === null || found > greatest)) greatest = found;
      }
      if (greatest !== null && greatest > before) behind.push({ column: visible(column) });
    }
    return { sequences: owned.length, behind };
  });
}

async function ownedSequences(client: pg.Client): Promise<readonly OwnedSequence[]> {
  const { rows } = await client.query<OwnedSequence>(`
    SELECT pg_catalog.pg_sequence_last_value(s.seqrelid)::text AS last, s.seqstart::text AS start,
           pg_catalog.format('%s.%s.%s', n.nspname, c.relname, a.attname) AS column,
           ARRAY(SELECT ${inClientBytes(`pg_catalog.format('%I.%I (%I)', ln.nspname, l.relname, a.attname)`)}
                   FROM pg_catalog.pg_class l JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
                  WHERE l.relkind = 'r' AND (l.oid = c.oid OR c.relkind = 'p' AND l.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))) AS columns
      FROM pg_catalog.pg_sequence s
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.seqrelid
       AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
      JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
     WHERE s.seqincrement > 0 AND NOT s.seqcycle AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
       AND a.attgenerated = '' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
       AND (c.relpersistence <> 'u' OR NOT pg_catalog.pg_is_in_recovery())
     ORDER BY 3`);
  return rows;
}

async function greatestOf(client: pg.Client, name: string): Promise<bigint | null> {
  let [greatest, rest]: [bigint | null, string] = [null, ''];
  for await (const chunk of copyTable(client, name)) {
    const text = rest + chunk.toString('latin1');
    const end = text.lastIndexOf(String.fromCharCode(NEWLINE));
    for (const line of text.slice(0, Math.max(end, 0)).split('\n')) {
      if (!/^-?\d+$/.test(line)) continue;
      const value = BigInt(line);
      if (greatest === null || value > greatest) greatest = value;
    }
    rest = text.slice(end + 1);
  }
  return greatest;
}
