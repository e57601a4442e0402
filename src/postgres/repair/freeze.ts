import type pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { FreezeMeans } from '../../domain/table/repair.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { sqlState } from '../connection/database-errors.js';
import { treeOf } from './freeze-parts.js';
import { giveBack, openToRoles, refuseRoles, requireNoRights, takeRights, type TakenRight } from './freeze-rights.js';
import { addTriggers, dropTriggers, makeFunction, withoutTrigger } from './freeze-triggers.js';
import { refuseSystem, statementTable } from './table-facts.js';

/** What unfreezing needs to know. */
export interface FrozenParts {
  /** The table and its partitions. */
  readonly oids: readonly number[];
  readonly taken: readonly TakenRight[];
}

export interface TableFreeze {
  readonly table: TableName;
  readonly means: FreezeMeans;
}

/** What of it is undone. */
export interface OwnParts extends FrozenParts {
  /** Parts that other operations keep frozen as well, such as a partition that is frozen by itself; absent: none. */
  readonly kept?: readonly number[];
}

/** Who holds the table is waited for no longer: all who come after would wait behind this. */
const LOCK_TIMEOUT = '10s';
/** Whoever freezes or unfreezes in a database does it alone. */
const ALONE = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('reprise freeze'))";

/**
 * Blocks the writes of others to a table and its partitions. Waits until those that have begun have ended. Repeated, it changes nothing.
 * @param client of a superuser, in the database of the table
 * @param note called with what unfreezing needs, before anything holds
 * @throws RepriseError `busy`; `privilege-missing` where the means would not keep the roles from writing; `not-found`
 */
export function freezeTable(
  client: pg.Client,
  { table, means }: TableFreeze,
  workflowId: string,
  note: (parts: FrozenParts) => Promise<void>,
): Promise<void> {
  return alone(client, table, async () => {
    const tree = await treeOf(client, table);
    const oids = tree.map(({ oid }) => oid);
    refuseSystem(table);
    if (tree.length === 0) throw noTable(table);
    if (means.by === 'revoke') await refuseRoles(client, table, means.roles);
    await client.query(`LOCK TABLE ${statementTable(table)} IN SHARE ROW EXCLUSIVE MODE`);
    if (means.by === 'revoke') {
      const taken = await takeRights(client, tree, means.roles);
      await requireNoRights(client, table, oids, means.roles);
      await note({ oids, taken });
      return;
    }
    await makeFunction(client);
    for (const part of tree) await addTriggers(client, part, workflowId);
    await note({ oids, taken: [] });
  });
}

/**
 * Blocks the writes to partitions that came while their table was frozen: where that is done by a trigger, all but TRUNCATE is blocked already.
 * Does nothing where the table itself is another one by now, as after a recovery: nobody has approved that.
 * @param mine asked while nobody else freezes or unfreezes: what is frozen; null: it is being opened
 * @param note called before anything holds, with all that is frozen and with the rights that were taken from the new parts
 * @returns the new parts, for people
 * @throws RepriseError `busy`
 */
export async function freezeNewParts(
  client: pg.Client,
  { table, means }: TableFreeze,
  workflowId: string,
  mine: () => Promise<Pick<FrozenParts, 'oids'> | null>,
  note: (parts: FrozenParts) => Promise<void>,
): Promise<readonly string[]> {
  const added: string[] = [];
  await alone(client, table, async () => {
    const known = await mine();
    if (known === null) return;
    const tree = await treeOf(client, table);
    const fresh = tree.filter(({ oid }) => !known.oids.includes(oid));
    const isSame = tree.some(({ oid, isRoot }) => isRoot && known.oids.includes(oid));
    if (!isSame || fresh.length === 0) return;
    const oids = fresh.map(({ oid }) => oid);
    for (const { name } of fresh) await client.query(`LOCK TABLE ${name} IN SHARE ROW EXCLUSIVE MODE`);
    const taken = means.by === 'revoke' ? await takeRights(client, fresh, means.roles) : [];
    if (means.by === 'trigger') {
      await makeFunction(client);
      for (const part of fresh) await addTriggers(client, part, workflowId);
    }
    await note({ oids: [...known.oids, ...oids], taken });
    added.push(...fresh.map(({ name }) => name));
  });
  return added;
}

/**
 * What can be known before: the table is there, and the means would keep the roles from writing. Reads only.
 * @param means null: only whether the table is there
 * @throws RepriseError as {@link freezeTable}
 */
export async function requireFreezable(
  client: pg.Client,
  { table, means }: { readonly table: TableName; readonly means: FreezeMeans | null },
): Promise<void> {
  refuseSystem(table);
  const tree = await treeOf(client, table);
  if (tree.length === 0) throw noTable(table);
  if (means?.by === 'revoke') await refuseRoles(client, table, means.roles);
}

/**
 * Takes the blocks away again, and gives back the very rights that were taken. Repeated, or where the table is gone, it changes nothing.
 * @param mine asked while nobody else freezes or unfreezes: what this operation took; null: another one still needs the block
 */
export function unfreezeTable(
  client: pg.Client,
  { table, means }: TableFreeze,
  mine: () => Promise<OwnParts | null>,
): Promise<void> {
  return alone(client, table, async () => {
    const parts = await mine();
    if (parts === null) return;
    const { oids, taken, kept = [] } = parts;
    if (means.by === 'revoke') return giveBack(client, taken);
    const known = new Set([...oids, ...(await treeOf(client, table)).map(({ oid }) => oid)]);
    for (const oid of kept) known.delete(oid);
    await dropTriggers(client, [...known]);
  });
}

const noTable = (table: TableName): RepriseError =>
  new RepriseError('not-found', `there is no table ${formatTableName(table)}`, 'see \\dt *.* in psql');

/**
 * Parts of a frozen table that take writes nevertheless: it was replaced by a recovery, somebody has taken the block away, or the
 * partition is newer. Reads only.
 */
export async function openParts(client: pg.Client, { table, means }: TableFreeze): Promise<readonly string[]> {
  const tree = await treeOf(client, table);
  const oids = tree.map(({ oid }) => oid);
  const isOpen =
    means.by === 'revoke' ? await openToRoles(client, oids, means.roles) : await withoutTrigger(client, oids);
  return tree.filter(({ oid }) => isOpen.has(oid)).map(({ name }) => name);
}

async function alone(client: pg.Client, table: TableName, work: () => Promise<void>): Promise<void> {
  // Names are printed with their schemas.
  await client.query(`BEGIN; SET LOCAL search_path TO ''; SET LOCAL lock_timeout TO '${LOCK_TIMEOUT}'`);
  try {
    await client.query(ALONE);
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    if (sqlState(error) !== '55P03') throw error;
    throw new RepriseError(
      'busy',
      `others hold ${formatTableName(table)}: its writes were neither blocked nor opened`,
      'see pg_locks; end them, or wait: it is tried again',
    );
  }
}
