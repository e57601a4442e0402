import type pg from 'pg';
import { mix, states } from '../data/appointments.js';
import type { InitialContents } from '../data/initial.js';
import { tables } from '../data/schema.js';
import type { ExpectedContents } from '../model/expected.js';
import { timestampText } from '../model/row.js';
import type { Change, Row } from '../model/row.js';

const ID = 0;
const STATE = 6;

/** Everything the statements of one transaction did, before its COMMIT. */
export interface OpenTransaction {
  readonly xid: string;
  readonly changes: readonly Change[];
}

/**
 * Does the work of the n-th transaction up to, not including, its COMMIT: one new appointment, often one that changes
 * its state, now and then one that is deleted, and a line of the journal. Number and model decide what.
 */
export async function openTransaction(
  client: pg.Client,
  initial: InitialContents,
  model: ExpectedContents,
  n: number,
): Promise<OpenTransaction> {
  await client.query('BEGIN');
  const inserted = await insert(client, initial.makeAppointment(1_000_000 + n, ''));
  const changes: Change[] = [{ table: tables.appointments, op: 'insert', row: inserted }];
  const count = initial.rows.get(tables.appointments)?.length ?? 0;

  const touched = model.row(tables.appointments, String(1 + (mix(n, 11) % count)));
  if (n % 3 === 0 && touched !== undefined) {
    const updated = touched.map((value, index) =>
      index === STATE ? (states[mix(n, 12) % states.length] ?? null) : value,
    );
    const values = [updated[ID], updated[STATE]];
    const { rowCount } = await client.query('UPDATE metier.demandes_rdv SET statut = $2 WHERE id = $1', values);
    // An appointment that somebody else has deleted is not changed, and the log does not say so.
    if (rowCount === 1) changes.push({ table: tables.appointments, op: 'update', row: updated });
  }
  const dropped = model.row(tables.appointments, String(1 + (mix(n, 13) % count)));
  if (n % 7 === 0 && dropped !== undefined && dropped[ID] !== touched?.[ID]) {
    const { rowCount } = await client.query('DELETE FROM metier.demandes_rdv WHERE id = $1', [dropped[ID]]);
    if (rowCount === 1) changes.push({ table: tables.appointments, op: 'delete', key: dropped[ID] ?? '' });
  }

  const line: Row = [String(n), `${changes.length} modification(s)`, inserted[ID] ?? null, timestampText(new Date())];
  const { rows } = await client.query<{ xid: string }>(
    'WITH line AS (INSERT INTO metier.journal VALUES ($1, $2, $3, $4)) SELECT pg_current_xact_id()::xid::text AS xid',
    [...line],
  );
  changes.push({ table: tables.journal, op: 'insert', row: line });
  return { xid: rows[0]?.xid ?? '', changes };
}

/** The identity column gives the key: the only thing the database is asked for. */
async function insert(client: pg.Client, values: Row): Promise<Row> {
  const { rows } = await client.query<{ id: string }>(
    `INSERT INTO metier.demandes_rdv (commune, service, dossier, depose_le, rdv_le, statut, motif)
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
    values.slice(1),
  );
  return [rows[0]?.id ?? '', ...values.slice(1)];
}
