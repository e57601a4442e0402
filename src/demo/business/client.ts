import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { sqlState } from '../../postgres/connection/database-errors.js';
import { withClient } from '../../postgres/connection/with-client.js';
import type { ConnectionConfig } from '../../domain/config.js';
import type { InitialContents } from '../data/initial.js';
import { DATABASE } from '../data/schema.js';
import { ExpectedContents } from '../model/expected.js';
import { account, openLog, readLog } from './log.js';
import { openTransaction } from './transaction.js';

/** `object_not_in_prerequisite_state`: the table takes no writes for the moment. */
const BLOCKED = '55000';

/** Given to the client's process as a JSON file. */
export interface BusinessSettings {
  readonly connection: ConnectionConfig;
  /** The client's log; appended to, so that a later pass goes on from what an earlier one left. */
  readonly log: string;
  /** From the beginning of one transaction to the next, at the least. */
  readonly paceMs: number;
}

/**
 * Commits one transaction after the other over one connection until the server is gone or `stop` is aborted. One
 * connection, so that commit order is the order of the numbers.
 */
export async function runBusiness(
  settings: BusinessSettings,
  initial: InitialContents,
  stop: AbortSignal,
): Promise<void> {
  const before = await readLog(settings.log).catch(() => []);
  const model = new ExpectedContents(initial);
  for (const { changes } of account(before).sent) model.apply(changes);
  let n = Math.max(0, ...before.map((entry) => (entry.kind === 'sent' ? entry.n : 0)));

  const log = openLog(settings.log);
  const now = () => new Date().toISOString();
  try {
    await withClient(
      settings.connection,
      DATABASE,
      async (client) => {
        while (!stop.aborted) {
          const due = performance.now() + settings.paceMs;
          const open = await openTransaction(client, initial, model, n + 1).catch((error: unknown) =>
            rolledBack(client, error),
          );
          if (open !== null) {
            n += 1;
            log.write({ kind: 'sent', n, at: now(), xid: open.xid, changes: open.changes });
            await client.query('COMMIT');
            log.write({ kind: 'committed', n, at: now() });
            model.apply(open.changes);
          }
          await sleep(Math.max(0, due - performance.now()), undefined, { signal: stop }).catch(() => undefined);
        }
      },
      { applicationName: 'guichet' },
    );
    log.write({ kind: 'stopped', at: now() });
  } catch (error) {
    log.write({ kind: 'lost', at: now(), reason: error instanceof Error ? error.message : String(error) });
  } finally {
    log.close();
  }
}

/** What is refused while the table takes no writes is tried again. @throws every other error */
async function rolledBack(client: pg.Client, error: unknown): Promise<null> {
  if (sqlState(error) !== BLOCKED) throw error;
  await client.query('ROLLBACK');
  return null;
}
