import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runInspection } from '../client/inspect.js';
import { operationLink } from '../client/connect.js';
import { RepriseError } from '../domain/errors.js';
import { planText } from '../domain/plan/plan-text.js';
import type { RecoverOutput } from '../workflows/api.js';
import { openLog } from './business/log.js';
import { beginBusiness, untilMore } from './business/running.js';
import { archiveNow } from './cluster.js';
import { compareContents, isAsExpected, tellTables } from './compare.js';
import type { Comparison } from './compare.js';
import { decide } from './decision.js';
import { approvalOf } from './approval.js';
import { followPhases, untilIncident, untilPlan } from './incident.js';
import { loseInstance } from './loss.js';
import type { LossKind } from './loss.js';
import type { Narrator } from './narrator.js';
import type { PassResult } from './result.js';
import type { Scratch } from './scratch.js';
import type { Stage } from './stage.js';

/** Transactions before the archive gets its last segment, and after: what the second pass must lose. */
const TRANSACTIONS = { archived: 150, unarchived: 100 };

/** Business, loss, incident, plan, approval, recovery, comparison, report. */
export async function runPass(stage: Stage, kind: LossKind, earlier: readonly PassResult[]): Promise<PassResult> {
  const { scratch, session, narrator, decision } = stage;
  const { signal } = decision;

  await beginBusiness(stage.owned, scratch, narrator);
  await untilMore(scratch, TRANSACTIONS.archived, signal);
  const segment = await archiveNow(scratch);
  await untilMore(scratch, TRANSACTIONS.unarchived, signal);
  narrator.say(`WAL is archived up to ${segment}; what is committed now is in pg_wal alone`);

  const loss = await loseInstance(scratch, kind);
  narrator.say(
    `SIGKILL for the postmaster with commits under way; every backend is gone; removed: ${loss.removed.join(', ')}`,
  );

  const incident = await untilIncident(session, new Set(earlier.map((pass) => pass.incident)), signal);
  narrator.say(`the watch saw it and opened ${incident} as suspected`);
  const { recovery, plan } = await untilPlan(session, incident, signal);
  narrator.block(planText(plan));
  await decide(session, narrator, approvalOf(session, scratch, recovery, plan), decision);
  await followPhases(session, recovery, (name) => narrator.say(`recovery: ${name}`), signal);
  const { outcome } = (await session.client.workflow.getHandle(recovery).result()) as RecoverOutput;
  if (outcome === null)
    throw new RepriseError(
      'check-failed',
      `${recovery} recovered nothing`,
      `See ${await operationLink(session, recovery)}.`,
    );
  await followPhases(session, incident, () => undefined, signal);

  const comparison = await narrator.timed("every table compared with the contents computed from the client's log", () =>
    compareContents(scratch, stage.initial, loss),
  );
  tell(narrator, comparison);
  markRecovered(scratch, comparison.upTo);
  return {
    loss: kind,
    recovered: isAsExpected(comparison),
    tables: comparison.tables,
    rtoSeconds: outcome.rtoSeconds,
    rpoSeconds: outcome.rpoSeconds,
    lostTransactions: comparison.lost.length,
    phases: outcome.phases,
    webUi: await operationLink(session, incident),
    report: await keepReport(stage, incident, earlier.length + 1),
    incident,
    recovery,
    waitedForPeopleSeconds: outcome.waitedForPeopleSeconds,
    transactions: {
      acknowledged: comparison.acknowledged,
      unacknowledged: comparison.unacknowledged,
      lastRecovered: comparison.upTo,
      lastArchived: comparison.archivedUpTo,
      firstLost: comparison.lost.length > 0 ? Math.min(...comparison.lost) : null,
    },
  };
}

function tell(
  narrator: Narrator,
  { tables, lost, acknowledged: count, unacknowledged, upTo, archivedUpTo }: Comparison,
): void {
  tellTables(narrator, tables);
  narrator.say(
    `${count} transactions acknowledged, ${lost.length} of them lost, ${unacknowledged} there without an acknowledgement`,
  );
  narrator.say(
    `last there: transaction ${upTo}; last in the archived WAL: ${archivedUpTo}; first lost: ${lost.length > 0 ? Math.min(...lost) : 'none'}`,
  );
}

/** From here on business goes on from what is there; what was lost does not come back. */
function markRecovered(scratch: Scratch, upTo: number): void {
  const log = openLog(scratch.clientLog);
  log.write({ kind: 'recovered', at: new Date().toISOString(), upTo });
  log.close();
}

/** The incident document outlives the demo's own directory. */
async function keepReport(stage: Stage, incident: string, pass: number): Promise<string> {
  const { markdown } = await runInspection<'report'>(stage.session, { kind: 'report', id: incident });
  const file = join(await stage.reports(), `incident-pass-${pass}.md`);
  await writeFile(file, markdown, { mode: 0o600 });
  return file;
}
