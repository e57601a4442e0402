import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import { operationLink } from '../../../src/client/connect.js';
import { listRunningOperations } from '../../../src/client/running-operations.js';
import { approvalJson } from '../../../src/domain/approval/approval-policy.js';
import { signOffJson } from '../../../src/domain/drill/drill-text.js';
import { queryNames, waitingQuery } from '../../../src/domain/operation/names.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { type StartedOperation, startDrill } from '../../../src/client/start.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { answer, reaches } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { startTemporalServer } from '../../helpers/temporal-server.js';
import { WebUi } from '../../helpers/web-ui.js';

failOnLeakedProcesses();

const TABLE = 'metier.demandes_rdv';

let site: Site;
let webUi: string;
let ui: WebUi;
let work: StartedOperation;
let plan: Plan;
let dumped: Record<string, string>;

beforeAll(async () => {
  const server = await startTemporalServer({ webUi: true });
  onCleanup(server.stop);
  site = await Site.create({ address: server.address, namespace: 'default' });
  const [port] = (await freePorts(1)) as [number];
  const home = join(site.root, 'staging-host');
  await mkdir(home, { mode: 0o700 });
  await giveToPostgres(home);
  await site.configure({
    clusterYaml: `    drill: { host: db1, allow_same_host: true, data_dir: ${join(home, 'staging')}, port: ${port}, engines: [dump], sign_off: { by: [dba] } }\n    tables: { ${TABLE}: { database: mairie, sign_off: { by: [dba], within: 4h } } }\n`,
  });
  await site.startWorker();
  await site.backUp('dump');
  dumped = await site.contentHash();
  await site.query('DELETE FROM metier.demandes_rdv WHERE id > 100');
  work = await site.recover('dump');
  plan = await site.waitFor(async () => work.handle.query<Plan | null>(queryNames.plan), 'there is a plan');
  webUi = server.webUi ?? '';
  ui = await WebUi.open(webUi, 'default');
});

it('D4, O14: the list shows by the query of the docs what waits for a person, and nothing else', async () => {
  expect(await ui.list(waitingQuery, work.workflowId)).toEqual([work.workflowId]);
  await ui.picture('web-ui-list', { height: 560 });
});

it('D4, O14: the link opens on what the waiting recovery will do, what it costs, who may approve, and what to paste', async () => {
  const [line] = (
    await listRunningOperations({ ...site.session, settings: { ...site.session.settings, webUi } })
  ).filter(({ workflowId }) => workflowId === work.workflowId);
  const text = await ui.visit(line?.webUi ?? '', 'State: waiting-approval');
  await ui.picture('web-ui-waiting', { height: 1505 });

  const [backup] = plan.binding.backups;
  const [replaced] = plan.binding.replaces;
  for (const told of [
    ...[
      'Recovery of mairie in place',
      'Wait for the approval of this plan.',
      'Nothing is changed before the approval.',
    ],
    ...[
      `"plan": "${plan.digest.slice(0, 12)}",`,
      '"by": "<your name>",',
      `reprise approve ${work.workflowId} --plan ${plan.digest.slice(0, 12)} --by `,
      `reprise reject ${work.workflowId}`,
    ],
    ...[backup?.id ?? '?', `database mairie — kept as ${replaced?.keptAs}`, 'what was written in the last'],
  ])
    expect(text).toContain(told);
  expect(text).toMatch(/data as of:\s+20/);
  expect(text).toMatch(/takes about:\s+not known: no restore was measured/);
  expect(text).toMatch(/may approve:\s+dba/);
});

it('O14: what is pasted as it is printed is sent by the first click on Submit', async () => {
  const dialog = await ui.sendPasted('approve', approvalJson(plan).replace('<your name>', 'intern'));
  expect(await ui.refusal(dialog, 'intern may not approve recover for mairie')).toContain('dba');
  await ui.closeDialog(dialog);
  expect(await ui.timeline('wait for approval')).toContain('; see User Metadata');
  await ui.tab('User Metadata');
});

it('D4, F32: the dialog refuses who may not approve, and what is no approval, with the reason and what to do; it goes on waiting', async () => {
  const approval = { plan: plan.digest.slice(0, 12), by: 'intern', reason: 'seems right to me' };
  const dialog = await ui.prepareUpdate('approve', approval);
  await ui.picture('web-ui-approve');
  await ui.submit(dialog);
  expect(await ui.refusal(dialog, 'intern may not approve recover for mairie')).toContain(
    'HINT: ask one of these people: dba',
  );
  await ui.picture('web-ui-refused');

  await ui.fill(dialog, { by: 'dba', plan: approval.plan });
  await ui.submit(dialog);
  expect(await ui.refusal(dialog, 'reason')).toContain('HINT: send {"plan"');
  expect((await site.status(work)).state).toBe('waiting-approval');

  await ui.fill(dialog, {
    ...approval,
    by: 'dba',
    reason: 'rows were deleted by mistake, seen with the head of service',
  });
  await ui.submit(dialog);
  await dialog.waitFor({ state: 'hidden' });
});

it('D4: the recovery goes on to its end, and the page tells the story in words', async () => {
  await ui.badge('Completed');
  const steps = await ui.timeline('write the incident document');
  for (const told of [
    'make the plan (reads only)',
    'wait for approval: mairie',
    'check the approval of intern',
    'check the approval of dba',
    'swap the databases',
  ])
    expect(steps).toContain(told);
  await ui.picture('web-ui-completed', { height: 1700 });
  expect(await ui.metadata('State: completed')).toContain('Recovered to');
  expect(await site.contentHash()).toEqual(dumped);
});

it('P5, O14: the link of a drill opens on what is to be looked at, what was found, who signs until when, and what to paste', async () => {
  const drill = await startDrill(site.session, { cluster: 'mairie', requester: 'ops', order: {} });
  await reaches(site, drill.workflowId, 'waiting-sign-off');
  const { settings } = site.session;
  const text = await ui.visit(
    await operationLink({ ...site.session, settings: { ...settings, webUi } }, drill.workflowId),
    'State: waiting-sign-off',
  );
  for (const told of [
    'Sign off what was restored of mairie',
    'dba says until 20',
    `psql 'host=localhost port=`,
    '"by": "<your name>",',
    `reprise sign-off ${drill.workflowId} --verdict pass --by NAME`,
    'dump: restored to dumps of mairie_full_',
    'skipped: page-checksums of dump: a dump brings no pages along',
  ])
    expect(text).toContain(told);
  expect(text).toMatch(/Found so far: \d+ checks: \d+ passed, 0 failed, \d+ skipped/);
  // Pasted as it is printed, but for what the signer forgot.
  const dialog = await ui.sendPasted('sign-off-drill', signOffJson);
  expect(await ui.refusal(dialog, '"remarks" is not filled in')).toContain('HINT: send {"verdict"');
  await ui.fill(dialog, { verdict: 'pass', by: 'intern', remarks: 'all there' });
  await ui.submit(dialog);
  expect(await ui.refusal(dialog, 'intern may not sign off drills of mairie')).toContain('these people may: dba');
  await ui.fill(dialog, { verdict: 'pass', by: 'dba', remarks: 'all there' });
  await ui.submit(dialog);
  await dialog.waitFor({ state: 'hidden' });
  await ui.badge('Completed');
  expect(await ui.metadata('State: completed')).toMatch(/Verdict: pass.*signed off by dba: pass/s);
});

it('T7, O14: the links of an incident and of its repair open on figures, conflicts, and commands that are not cut; a person approves and signs off there', async () => {
  const { settings } = site.session;
  const visit = async (workflowId: string, wanted: string): Promise<string> => {
    await ui.visit(await operationLink({ ...site.session, settings: { ...settings, webUi } }, workflowId), 'State: ');
    return ui.metadata(wanted);
  };
  await site.backUp('physical');
  await site.query(`CREATE ROLE clerk LOGIN; ALTER SCHEMA metier OWNER TO clerk; ALTER TABLE ${TABLE} OWNER TO clerk`);
  const { rows } = await site.query(
    `WITH gone AS (DELETE FROM ${TABLE} WHERE id % 3 = 0), bad AS (UPDATE ${TABLE} SET motif = 'wrong' WHERE id % 3 = 1) SELECT pg_current_xact_id()::text AS xid`,
  );
  const [{ xid }] = rows as [{ xid: string }];
  await site.query(`UPDATE ${TABLE} SET motif = 'put right by hand' WHERE id IN (1, 4)`);
  await site.closeSegment();

  const about = ['--cluster', 'mairie', '--database', 'mairie', '--table', TABLE, '--by', 'ops', '--detach'];
  const incident = await answer<{ workflowId: string }>(site, 'incident', 'start', 'table-corruption', ...about);
  const suspected = await visit(incident.workflowId, `${xid}, committed 20`);
  await ui.picture('web-ui-incident', { height: 1500 });
  expect(suspected).toContain('now, production: ');
  expect(suspected).toContain(`reprise incident dismiss ${incident.workflowId} --reason "..."`);
  await answer(site, 'incident', 'confirm', incident.workflowId, '--by', 'dba', '--reason', 'seen');
  const choosing = await visit(incident.workflowId, 'State: paused');
  const command = `reprise table repair mairie mairie ${TABLE} --xid ${xid} --incident ${incident.workflowId}`;
  expect(choosing).toContain(command);
  expect(await ui.cutTexts()).toEqual([]);

  const repair = await answer<{ workflowId: string }>(site, ...command.split(' ').slice(1), '--by', 'ops', '--detach');
  const { plan: digest } = await reaches(site, repair.workflowId, 'waiting-approval');
  const waiting = await visit(repair.workflowId, 'State: waiting-approval');
  await ui.picture('web-ui-repair', { height: 1900 });
  for (const told of ['left as it is: 2 rows', 'with --conflicts take', `grep '"op":"conflict"' /`, 'reprise reject '])
    expect(waiting).toContain(told);
  const approval = await ui.prepareUpdate('approve', { plan: digest, by: 'dba', reason: 'seen' });
  await ui.submit(approval);
  await approval.waitFor({ state: 'hidden' });

  await reaches(site, repair.workflowId, 'waiting-sign-off');
  const done = await visit(repair.workflowId, 'State: waiting-sign-off');
  await ui.picture('web-ui-repair-sign-off', { height: 1900 });
  expect(done).toContain('left as it is: 2 rows');
  expect(done).toContain('rows are as approved: ok');
  const signOff = await ui.prepareUpdate('sign-off-repair', { verdict: 'pass', by: 'dba', remarks: 'all there' });
  await ui.submit(signOff);
  await signOff.waitFor({ state: 'hidden' });
  await ui.badge('Completed');
  const completed = await ui.metadata('State: completed');
  expect(completed).toContain(`reprise incident report ${repair.workflowId}`);
  expect(completed).not.toContain('Send an Update');
  await reaches(site, incident.workflowId, 'completed');
});
