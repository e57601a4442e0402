import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { approve, reject } from '../client/decide.js';
import { operationLink } from '../client/connect.js';
import { runInspection } from '../client/inspect.js';
import { startRepair } from '../client/start.js';
import { RepriseError } from '../domain/errors.js';
import { shortDigest } from '../domain/approval/approval-policy.js';
import { queryNames } from '../domain/operation/names.js';
import type { WalTransaction } from '../domain/operation/wal-transactions.js';
import type { RepairPlan } from '../domain/table/repair.js';
import { repairPlanText } from '../domain/table/repair-text.js';
import { withClient } from '../postgres/connection/with-client.js';
import { stopProcess } from '../process/exec/background.js';
import type { RepairOutput } from '../workflows/api.js';
import { beginBusiness, untilMore } from './business/running.js';
import { archiveNow } from './cluster.js';
import { contentsOf, tellTables } from './compare.js';
import { DATABASE } from './data/schema.js';
import { decide, type Question } from './decision.js';
import { followPhases } from './incident.js';
import type { RepairResult } from './result.js';
import { commandLine } from './servers.js';
import { APPROVER, CLUSTER } from './settings.js';
import type { Stage } from './stage.js';

/** Transactions of citizens before the batch, and after it. */
const TRANSACTIONS = { before: 100, after: 100 };
const DELETED = 30_000;
const TABLE = { schema: 'metier', table: 'demandes_rdv' };
const NAME = 'metier.demandes_rdv';

/** The scenario `table-corruption`: a batch deletes appointments while citizens book, and exactly that is undone. */
export async function repairAppointments(stage: Stage): Promise<RepairResult> {
  const { narrator, session, scratch, decision } = stage;
  narrator.chapter('Citizens book appointments, and a batch that was to purge old ones deletes those to come');
  const client = await beginBusiness(stage.owned, scratch, narrator);
  await untilMore(scratch, TRANSACTIONS.before, decision.signal);
  const from = new Date().toISOString();
  const deleted = await runBatch(stage);
  narrator.say(`the batch has deleted ${deleted} appointments in one transaction; citizens go on booking`);
  await untilMore(scratch, TRANSACTIONS.after, decision.signal);
  narrator.say(`WAL is archived up to ${await archiveNow(scratch)}`);

  narrator.chapter('What happened: transactions from the WAL');
  narrator.block(
    `${commandLine(scratch)} wal transactions ${CLUSTER} --database ${DATABASE} --table ${NAME} --from ${from}`,
  );
  const guilty = await findBatch(stage, from);
  narrator.say(
    `transaction ${guilty.xid}, committed at ${guilty.committedAt}: ${guilty.deleted} rows deleted, ${guilty.updated} changed, ${guilty.inserted} inserted`,
  );

  narrator.chapter('That transaction is undone, and what came later is kept');
  narrator.block(`${commandLine(scratch)} table repair ${CLUSTER} ${DATABASE} ${NAME} --xid ${guilty.xid}`);
  const { workflowId, operationId, handle } = await startRepair(session, {
    cluster: CLUSTER,
    // Who asks does not approve.
    requester: 'operator',
    order: { database: DATABASE, table: TABLE, source: { kind: 'transaction', xid: guilty.xid }, strategy: 'undo' },
  });
  narrator.say(`${workflowId}: ${await operationLink(session, workflowId)}`);
  const tell = (name: string): void => narrator.say(`repair: ${name}`);
  const { state, phases } = await followPhases(session, workflowId, tell, decision.signal, {
    until: 'waiting-approval',
  });
  if (state === 'waiting-approval') {
    const plan = await handle.query<RepairPlan>(queryNames.plan);
    narrator.block(repairPlanText(plan));
    await decide(session, narrator, approvalOf(stage, workflowId, plan), decision);
    await followPhases(session, workflowId, tell, decision.signal, { told: phases.length });
  }
  const { outcome } = (await handle.result()) as RepairOutput;
  if (outcome === null)
    throw new RepriseError('check-failed', `${workflowId} changed nothing`, `see reprise status ${workflowId}`);

  narrator.chapter('Every appointment is compared with what the citizens’ client knows');
  await stopProcess(client);
  const contents = await contentsOf(scratch.connection, scratch.clientLog, stage.initial);
  tellTables(narrator, contents.tables);
  narrator.say(`${contents.acknowledged} bookings and changes acknowledged, ${contents.lost.length} of them lost`);
  const isWhole = contents.lost.length === 0 && contents.tables.every(({ match }) => match);
  const seconds = (Date.parse(outcome.finishedAt) - Date.parse(guilty.committedAt)) / 1000;
  return {
    scenario: 'table-corruption',
    recovered: isWhole && outcome.done.insert === deleted && outcome.done.conflicts === 0,
    tables: contents.tables,
    rtoSeconds: Math.max(0, Math.round(seconds)),
    rpoSeconds: 0,
    lostTransactions: contents.lost.length,
    phases: [],
    webUi: await operationLink(session, workflowId),
    report: await keepReport(stage, operationId),
    passes: [],
    repair: { workflowId, xid: guilty.xid, committedAt: guilty.committedAt, deleted, done: outcome.done },
  };
}

async function runBatch({ scratch }: Stage): Promise<number> {
  return withClient(scratch.connection, DATABASE, async (client) => {
    const { rowCount } = await client.query(
      `DELETE FROM ${NAME} WHERE id IN (SELECT id FROM ${NAME} ORDER BY rdv_le DESC, id LIMIT ${DELETED})`,
    );
    return rowCount ?? 0;
  });
}

/** The transaction that did most damage since then. */
async function findBatch({ session, narrator }: Stage, from: string): Promise<WalTransaction> {
  const { transactions } = await narrator.timed('archived WAL read', () =>
    runInspection<'wal-transactions'>(session, {
      ...{ kind: 'wal-transactions', cluster: CLUSTER, database: DATABASE, table: NAME },
      ...{ from, to: new Date().toISOString(), limit: 3 },
    }),
  );
  const [worst] = transactions;
  if (worst !== undefined) return worst;
  throw new RepriseError(
    'check-failed',
    'no transaction was found in the WAL',
    'run the demo with --keep and look at worker.log',
  );
}

/** Whether the table is to be repaired as planned. */
function approvalOf({ session, scratch }: Stage, workflowId: string, plan: RepairPlan): Question {
  const digest = shortDigest(plan);
  return {
    ...{ workflowId, state: 'waiting-approval', waitsFor: 'the approval' },
    message: `Change these rows as planned (${digest})?`,
    sends: 'approve',
    instead: 'approve it in the Web UI, or from another terminal:',
    command: `${commandLine(scratch)} approve ${workflowId} --plan ${digest} --by ${APPROVER} --reason "demo"`,
    agree: async (reason) => {
      await approve(session, workflowId, { plan: plan.digest, by: APPROVER, reason });
    },
    decline: async (reason) => {
      await reject(session, workflowId, { by: APPROVER, reason });
      throw new RepriseError(
        'approval-refused',
        'the repair was declined, so the demo ends here',
        'run it again and answer yes, or use --yes',
      );
    },
  };
}

/** The report outlives the demo's own directory. */
async function keepReport(stage: Stage, id: string): Promise<string> {
  const { markdown } = await runInspection<'report'>(stage.session, { kind: 'report', id });
  const file = join(await stage.reports(), 'table-repair.md');
  await writeFile(file, markdown, { mode: 0o600 });
  return file;
}
