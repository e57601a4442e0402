import { join } from 'node:path';
import { signOff } from '../client/decide.js';
import { operationLink } from '../client/connect.js';
import { listDrills } from '../client/drills.js';
import { startDrill } from '../client/start.js';
import type { DrillOutcome } from '../domain/drill/drill.js';
import { stopProcess } from '../process/exec/background.js';
import type { DrillOutput } from '../workflows/api.js';
import { beginBusiness, untilMore } from './business/running.js';
import { archiveNow } from './cluster.js';
import { contentsOf, tellTables } from './compare.js';
import type { Contents } from './compare.js';
import { DATABASE } from './data/schema.js';
import { decide } from './decision.js';
import type { Question } from './decision.js';
import { showEvidence } from './evidence.js';
import { followPhases } from './incident.js';
import type { DrillResult } from './result.js';
import { commandLine } from './servers.js';
import { APPROVER, CLUSTER } from './settings.js';
import type { Stage } from './stage.js';

/** Transactions that are in WAL alone: what the drill has to replay. */
const TRANSACTIONS = 150;

/** The scenario `drill`: restored onto staging with both engines, checked, signed off, its evidence verified. */
export async function practise(stage: Stage): Promise<DrillResult> {
  const { narrator, session } = stage;
  narrator.chapter('A client writes, and its WAL is archived: what a drill has to bring back');
  await doBusiness(stage);

  narrator.chapter('A drill restores both backups onto staging in turn, and checks what came back');
  const { workflowId, operationId, handle } = await startDrill(session, {
    cluster: CLUSTER,
    requester: APPROVER,
    order: {},
  });
  narrator.say(`${workflowId}: ${await operationLink(session, workflowId)}`);
  const contents = await signedOff(stage, workflowId);
  const { outcome } = (await handle.result()) as DrillOutput;
  tellOutcome(stage, outcome);

  narrator.chapter('The evidence');
  const { evidence: sealed, restores, rpoSeconds } = outcome;
  const evidence = sealed && (await showEvidence(stage, operationId, sealed));
  const { drillId, verdict, reason, checks, signOff: signed, notTested } = outcome;
  const register = await showRegister(stage);
  const isComplete = contents?.lost.length === 0 && contents.tables.every(({ match }) => match);
  return {
    scenario: 'drill',
    recovered:
      verdict === 'pass' && isComplete && evidence?.signed === true && evidence.verified && evidence.changed.found,
    tables: contents?.tables ?? [],
    rtoSeconds: Math.max(0, ...restores.map(({ rtoSeconds }) => rtoSeconds)),
    rpoSeconds,
    lostTransactions: contents?.lost.length ?? 0,
    phases: restores.flatMap(({ policy, phases }) =>
      phases.map(({ name, seconds }) => ({ name: `${policy}: ${name}`, seconds })),
    ),
    webUi: await operationLink(session, workflowId),
    report: evidence === null ? '' : join(evidence.folder, drillId, 'report.html'),
    passes: [],
    drill: { drillId, workflowId, verdict, reason, checks, signOff: signed, notTested, register },
    evidence,
  };
}

async function doBusiness({ scratch, owned, narrator, decision }: Stage): Promise<void> {
  const client = await beginBusiness(owned, scratch, narrator);
  await untilMore(scratch, TRANSACTIONS, decision.signal);
  await stopProcess(client);
  narrator.say(`it is stopped, and WAL is archived up to ${await archiveNow(scratch)}`);
}

/** Follows the drill to its end; what staging held when people were let in, null where it did not come so far. */
async function signedOff(stage: Stage, workflowId: string): Promise<Contents | null> {
  const { session, narrator, scratch, decision } = stage;
  const tell = (name: string): void => narrator.say(`drill: ${name}`);
  const { state, phases } = await followPhases(session, workflowId, tell, decision.signal, {
    until: 'waiting-sign-off',
  });
  if (state !== 'waiting-sign-off') return null;

  narrator.chapter('A person looks at what was restored');
  const { user = '', passfile } = scratch.connection;
  narrator.say('staging takes connections, with the roles and passwords of the source:');
  narrator.block(
    `PGPASSFILE=${passfile} psql "host=localhost port=${scratch.staging.port} user=${user} dbname=${DATABASE}"`,
  );
  const contents = await narrator.timed(
    "every table of staging compared with the contents computed from the client's log",
    () => contentsOf({ ...scratch.connection, port: scratch.staging.port }, scratch.clientLog, stage.initial),
  );
  tellTables(narrator, contents.tables);
  narrator.say(`${contents.acknowledged} transactions acknowledged, ${contents.lost.length} of them not there`);
  await decide(session, narrator, signOffOf(stage, workflowId), decision);
  await followPhases(session, workflowId, tell, decision.signal, { told: phases.length });
  return contents;
}

/** Whether what was restored is good. */
function signOffOf({ session, scratch }: Stage, workflowId: string): Question {
  const say = (verdict: 'pass' | 'fail') => (remarks: string) =>
    signOff(session, workflowId, { verdict, by: APPROVER, remarks });
  return {
    workflowId,
    state: 'waiting-sign-off',
    waitsFor: 'the sign-off',
    message: 'Is what was restored good?',
    sends: 'sign-off with the verdict pass',
    instead: 'sign it off in the Web UI (signal "sign-off"), or from another terminal:',
    command: `${commandLine(scratch)} sign-off ${workflowId} --verdict pass --by ${APPROVER} --remarks "demo"`,
    agree: say('pass'),
    decline: say('fail'),
  };
}

function tellOutcome({ narrator }: Stage, { verdict, reason, checks, signOff: signed, notTested }: DrillOutcome): void {
  for (const { policy, name, status, detail } of checks) narrator.say(`${status}: ${policy}: ${name}: ${detail}`);
  for (const { kind, name, reason: why } of notTested) narrator.say(`not tested: ${kind} ${name}: ${why}`);
  const by = signed === null ? 'signed off by nobody' : `signed off by ${signed.by}: ${signed.verdict}`;
  narrator.say(`verdict: ${verdict}${reason === null ? '' : `, ${reason}`}; ${by}`);
}

/** What drills have left to do: nothing, where this one has passed. */
async function showRegister({ session, scratch, narrator }: Stage): Promise<DrillResult['drill']['register']> {
  narrator.chapter('The quality register: what drills have left to do');
  narrator.block(`${commandLine(scratch)} drill list ${CLUSTER}`);
  const { register } = await listDrills(session, CLUSTER);
  const open = register.filter(({ closedBy }) => closedBy === null);
  for (const { id, text, dueAt } of open) narrator.say(`open: ${id}: ${text}; to be made good until ${dueAt}`);
  if (open.length === 0)
    narrator.say(
      'no open entry: a drill that fails, or does not take place, opens one; only one that passes closes it',
    );
  return { open: open.length, closed: register.length - open.length };
}
