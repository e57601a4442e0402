import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { approve, reject, signal } from '../client/decide.js';
import { operationLink } from '../client/connect.js';
import { runInspection } from '../client/inspect.js';
import { toRepriseError } from '../client/errors.js';
import { heldBy } from '../client/holds.js';
import { chooseRepair } from '../client/incidents.js';
import { type StartedOperation, startIncident } from '../client/start.js';
import { statusOf } from '../client/status.js';
import { RepriseError } from '../domain/errors.js';
import { shortDigest } from '../domain/approval/approval-policy.js';
import { holdWorkflowId, queryNames } from '../domain/operation/names.js';
import type { WalTransaction } from '../domain/operation/wal-transactions.js';
import type { ApprovablePlan } from '../domain/plan/plan.js';
import type { HoldPlan } from '../domain/table/hold.js';
import { holdPlanText } from '../domain/table/hold-text.js';
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
import { APPOINTMENTS, APPROVER, CLUSTER } from './settings.js';
import type { Stage } from './stage.js';

/** Transactions of citizens before the batch, after it, and after the repair. */
const TRANSACTIONS = { before: 100, after: 100, again: 20 };
const DELETED = 30_000;
const TABLE = { schema: 'metier', table: 'demandes_rdv' };
const NAME = APPOINTMENTS;
/** Who opens the incident and chooses the repair. */
const OPERATOR = 'operator';
/** Others may have the table for a moment; the hold itself waits longer. */
const FROZEN_WITHIN_MS = 60_000;

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

  narrator.chapter('An incident is opened, and writes to the table are blocked');
  const incident = await openIncident(stage);
  await blockWrites(stage, incident);

  narrator.chapter('What happened: transactions from the WAL');
  narrator.block(
    `${commandLine(scratch)} wal transactions ${CLUSTER} --database ${DATABASE} --table ${NAME} --from ${from}`,
  );
  const guilty = await findBatch(stage, from);
  narrator.say(
    `transaction ${guilty.xid}, committed at ${guilty.committedAt}: ${guilty.deleted} rows deleted, ${guilty.updated} changed, ${guilty.inserted} inserted`,
  );

  narrator.chapter('The repair is chosen: undo that transaction, keep what came later');
  narrator.block(
    `${commandLine(scratch)} table repair ${CLUSTER} ${DATABASE} ${NAME} --xid ${guilty.xid} --incident ${incident.operationId}`,
  );
  const { workflowId, handle } = await chooseRepair(session, incident.workflowId, {
    // Who asks does not approve.
    by: OPERATOR,
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

  narrator.chapter('The table is open again, and the incident closes with its document');
  await followPhases(session, incident.workflowId, () => undefined, decision.signal);
  await untilMore(scratch, TRANSACTIONS.again, decision.signal);
  narrator.say('citizens book again');

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
    webUi: await operationLink(session, incident.workflowId),
    report: await keepReport(stage, incident.workflowId),
    passes: [],
    incident: incident.workflowId,
    repair: { workflowId, xid: guilty.xid, committedAt: guilty.committedAt, deleted, done: outcome.done },
  };
}

/** Opened, and confirmed by whoever has seen the damage; nothing is changed by that. */
async function openIncident({ session, scratch, narrator, decision }: Stage): Promise<StartedOperation> {
  narrator.block(
    `${commandLine(scratch)} incident start table-corruption --cluster ${CLUSTER} --database ${DATABASE} --table ${NAME}`,
  );
  const incident = await startIncident(session, {
    ...{ cluster: CLUSTER, scenario: 'table-corruption', requester: OPERATOR },
    order: { database: DATABASE, table: TABLE, cause: 'the purge of old appointments has no condition on the date' },
  });
  const { workflowId, operationId } = incident;
  narrator.say(`${workflowId}: ${await operationLink(session, workflowId)}`);
  const survey = await untilSeen(decision.signal, 'the rows are compared with those of the backups', async () => {
    const { records } = await runInspection<'incident'>(session, { kind: 'incident', id: operationId });
    return records.findLast((record) => record.kind === 'incident' && /rows now|suspicious/.test(record.text));
  });
  if (survey?.kind === 'incident') narrator.say(survey.text);
  await signal(session, workflowId, 'confirm', { by: OPERATOR, reason: 'appointments of the coming weeks are gone' });
  return incident;
}

/** The incident has the writes blocked, by a plan with an approval of its own. */
async function blockWrites(stage: Stage, { operationId }: StartedOperation): Promise<void> {
  const { session, narrator, decision } = stage;
  const workflowId = holdWorkflowId(CLUSTER, `${operationId}-hold`);
  await untilSeen(decision.signal, 'the incident asks for the writes to be blocked', async () => {
    const { state } = await statusOf(session, workflowId, { jobs: false });
    return state === 'waiting-approval' ? true : undefined;
  });
  const plan = await session.client.workflow.getHandle(workflowId).query<HoldPlan>(queryNames.plan);
  narrator.block(holdPlanText(plan));
  await decide(session, narrator, approvalOf(stage, workflowId, plan, `Block writes to ${NAME}`), decision);
  await untilSeen(
    decision.signal,
    'writes are blocked',
    async () => (await heldBy(session, workflowId).catch(() => null))?.since ?? undefined,
  );
  narrator.say(`${NAME} takes no writes: whoever books is told to try again`);
}

async function untilSeen<T>(stop: AbortSignal, what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + FROZEN_WITHIN_MS;
  for (;;) {
    const seen = await look().catch(notYet);
    if (seen !== undefined) return seen;
    if (performance.now() > deadline)
      throw new RepriseError(
        'timeout',
        `waited in vain until ${what}`,
        'run the demo with --keep and look at the Web UI',
      );
    await sleep(250, undefined, { signal: stop });
  }
}

function notYet(error: unknown): undefined {
  if (toRepriseError(error).code !== 'not-found') throw error;
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

/** Whether a plan is to be carried out. */
function approvalOf(
  { session, scratch }: Stage,
  workflowId: string,
  plan: Pick<ApprovablePlan, 'digest'>,
  what = 'Change these rows',
): Question {
  const digest = shortDigest(plan);
  return {
    ...{ workflowId, state: 'waiting-approval', waitsFor: 'the approval' },
    message: `${what} as planned (${digest})?`,
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
        'the plan was declined, so the demo ends here',
        'run it again and answer yes, or use --yes',
      );
    },
  };
}

/** The report outlives the demo's own directory. */
async function keepReport(stage: Stage, id: string): Promise<string> {
  const { markdown } = await runInspection<'report'>(stage.session, { kind: 'report', id });
  const file = join(await stage.reports(), 'incident.md');
  await writeFile(file, markdown, { mode: 0o600 });
  return file;
}
