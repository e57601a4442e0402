import type pg from 'pg';

/**
 * Runs reads in one snapshot: in the transaction the client is in already, else in one of its own. Rows hidden by row
 * security are an error in it.
 */
export async function inSnapshot<T>(client: pg.Client, fn: () => Promise<T>): Promise<T> {
  // 'T': within a transaction, as the server reports after each statement.
  if (client.getTransactionStatus() === 'T') return fn();
  await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off');
  try {
    return await fn();
  } finally {
    await client.query('ROLLBACK');
  }
}

/**
 * Releases, after the function, the locks it took: a transaction that kept one on each of 100,000 tables would fill
 * the server's lock table. What the function changed is undone with them.
 */
export async function released<T>(client: pg.Client, fn: () => Promise<T>): Promise<T> {
  await client.query('SAVEPOINT reprise');
  try {
    return await fn();
  } finally {
    await client.query('ROLLBACK TO SAVEPOINT reprise; RELEASE SAVEPOINT reprise');
  }
}
