import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInspection } from '../client/inspect.js';
import { operationLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { RepriseError } from '../domain/errors.js';
import type { RecoverOutput } from '../workflows/api.js';
import { account, openLog, readLog } from './business/log.js';
import { archiveNow } from './cluster.js';
import { compareContents, isAsExpected } from './compare.js';
import type { Comparison } from './compare.js';
import type { InitialContents } from './data/initial.js';
import { decide } from './decision.js';
import type { DecisionOptions } from './decision.js';
import { followPhases, untilIncident, untilPlan } from './incident.js';
import { loseInstance } from './loss.js';
import type { LossKind } from './loss.js';
import type { Narrator } from './narrator.js';
import type { Owned } from './owned.js';
import type { PassResult } from './result.js';
import type { Scratch } from './scratch.js';
import { startBusiness } from './servers.js';

/** All that the passes share. */
export interface Stage {
  readonly scratch: Scratch;
  readonly session: TemporalSession;
  readonly initial: InitialContents;
  readonly owned: Owned;
  readonly narrator: Narrator;
  readonly decision: DecisionOptions;
  /** Directory of the incident documents that stay, made at the first call. */
  readonly reports: () => Promise<string>;
}

/** Transactions before the archive gets its last segment, and after: what the second pass must lose. */
const TRANSACTIONS = { archived: 150, unarchived: 100 };

/** Business, loss, incident, plan, approval, recovery, comparison, report. */
export async function runPass(stage: Stage, kind: LossKind, earlier: readonly PassResult[]): Promise<PassResult> {
  const { scratch, session, narrator, decision } = stage;
  const { signal } = decision;

  const client = await stage.owned.start('business client', () => startBusiness(scratch));
  narrator.say(`a client (process ${client.pid}) commits transactions and keeps its own log: ${scratch.clientLog}`);
  const begin = await acknowledged(scratch);
  await untilAcknowledged(scratch, begin + TRANSACTIONS.archived, signal);
  const segment = await archiveNow(scratch);
  await untilAcknowledged(scratch, (await acknowledged(scratch)) + TRANSACTIONS.unarchived, signal);
  narrator.say(`WAL is archived up to ${segment}; what is committed now is in pg_wal alone`);

  const loss = await loseInstance(scratch, kind);
  narrator.say(
    `SIGKILL for the postmaster with commits under way; every backend is gone; removed: ${loss.removed.join(', ')}`,
  );

  const incident = await untilIncident(session, new Set(earlier.map((pass) => pass.incident)), signal);
  narrator.say(`the watch saw it and opened ${incident} as suspected`);
  const { recovery, plan } = await untilPlan(session, incident, signal);
  await decide(session, scratch, recovery, plan, narrator, decision);
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
  for (const { name, rows, match } of tables) narrator.say(`${match ? '  same' : 'OTHER '}  ${name}  ${rows} rows`);
  narrator.say(
    `${count} transactions acknowledged, ${lost.length} of them lost, ${unacknowledged} there without an acknowledgement`,
  );
  narrator.say(
    `last there: transaction ${upTo}; last in the archived WAL: ${archivedUpTo}; first lost: ${lost.length > 0 ? Math.min(...lost) : 'none'}`,
  );
}

async function acknowledged(scratch: Scratch): Promise<number> {
  return account(await readLog(scratch.clientLog).catch(() => [])).acknowledged.size;
}

async function untilAcknowledged(scratch: Scratch, count: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + 60_000;
  while ((await acknowledged(scratch)) < count) {
    if (performance.now() > deadline)
      throw new RepriseError(
        'timeout',
        'the business client commits nothing',
        `See ${join(scratch.root, 'client.log')}.`,
      );
    await sleep(100, undefined, { signal });
  }
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
