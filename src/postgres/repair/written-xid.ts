import type pg from 'pg';

/**
 * Has the server write down all transaction ids that it has given away by now. After a crash it gives ids again that it had not written
 * down: one that was noted would be somebody else's then, who may commit. The commit of another transaction writes all WAL before it.
 * @param client in no transaction
 */
export async function writeXidsDown(client: pg.ClientBase): Promise<void> {
  await client.query(
    `BEGIN; SET LOCAL synchronous_commit TO local;
     SELECT pg_catalog.pg_logical_emit_message(true, 'reprise', ''); COMMIT`,
  );
}
