import { execFile } from 'node:child_process';
import { appendFile, cp, mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { applyWatches } from '../../../src/client/schedules/apply-watches.js';
import { runInspection } from '../../../src/client/inspect.js';
import { loadConfig } from '../../../src/config/load.js';
import type { ClusterConfig, Config } from '../../../src/domain/config.js';
import type { DrillPlan } from '../../../src/domain/drill/drill.js';
import { scratchConnection } from '../../../src/postgres/server/scratch-cluster.js';
import { processesIn } from '../../../src/postgres/server/postmaster.js';
import { openDrillFolder } from '../../../src/records/drill-folder.js';
import { verifyEvidence } from '../../../src/records/evidence/verify.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { contentOf } from '../../contract/engine-fixture.js';
import { changeRowSilently } from '../../helpers/damage-page.js';
import { Drills } from '../../helpers/drills.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { runQuery } from '../../helpers/postgres.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let drills: Drills;
/** The same without what takes longest, and is looked at in the first test. */
let unchecked: Drills;
let staging: string;
let port: number;
let publicKey: string;
let stateDir: string;

function withoutDumpAgain(cluster: ClusterConfig): ClusterConfig {
  const off = { name: 'dump-again', type: 'dump-again', enabled: false as const, options: {} };
  return { ...cluster, checks: { off } };
}

const home = (): string => join(site.root, 'staging-host');
const stagingServer = () => {
  const { host, user } = scratchConnection({ dataDir: staging, port });
  return { host, port, user, socketDir: host };
};
const stagingHash = async () => {
  const content = (await contentOf(stagingServer(), () => 'mairie', ['mairie']))['mairie'] ?? {};
  return Object.fromEntries(Object.entries(content).filter(([what]) => what !== 'sequences'));
};

/** What a drill must leave as it was. */
async function production() {
  const { rows } = await site.query(
    `SELECT (SELECT json_agg(s) FROM (SELECT slot_name, active FROM pg_replication_slots ORDER BY 1) s) AS slots,
            (SELECT failed_count FROM pg_stat_archiver)::int AS failed,
            (SELECT count(*)::int FROM pg_database) AS databases`,
  );
  const archived = await readdir(join(site.root, 'pgb', 'repo', 'archive', 'main'), { recursive: true });
  return { ...(rows[0] as object), archived: archived.sort(), content: await site.contentHash() };
}

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  site = await Site.create({
    policiesYaml: `      base: { engine: basebackup, repository: local, options: { wal: receivewal } }\n`,
  });
  await mkdir(home(), { mode: 0o700 });
  await giveToPostgres(home());
  staging = join(home(), 'staging');
  await site.configure({
    clusterYaml: `    drill: { host: db1, allow_same_host: true, data_dir: ${staging}, port: ${port}, engines: [pgbackrest, base, dump] }\n`,
    policiesYaml: `      base: { engine: basebackup, repository: local, options: { wal: receivewal } }\n`,
  });
  const config = await loadConfig({ file: site.places.configFile });
  const signingKey = join(site.root, 'evidence_key');
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', signingKey]);
  publicKey = await readFile(`${signingKey}.pub`, 'utf8');
  stateDir = config.hosts['db1']?.stateDir ?? '';
  const { mairie } = config.clusters as Record<string, ClusterConfig>;
  const argv = ['/bin/sh', '-c', 'echo looked at it >&2; echo Jeanne 1'];
  const queue = { name: 'queue', type: 'command', options: { argv, exitCode: 0, timeoutSeconds: 30 } };
  const checked = { mairie: { ...mairie!, checks: { ...mairie!.checks, queue } } };
  drills = new Drills(hostDependencies({ ...config, evidence: { signingKey }, clusters: checked }, 'db1'));
  const few = { mairie: withoutDumpAgain(mairie!) };
  unchecked = new Drills(hostDependencies({ ...config, evidence: { signingKey }, clusters: few }, 'db1'));
  const worker = await site.startWorker();
  const clusters = { mairie: { ...config.clusters['mairie'], watch: undefined } } as unknown as Config['clusters'];
  await applyWatches(site.session, { ...config, clusters });
  await site.waitFor(
    async () => (await site.query('SELECT FROM pg_replication_slots WHERE active')).rows.length === 1,
    'the WAL is received',
  );
  // No hint bit is left to be set: WAL that is replayed writes no page of it anew.
  await site.query(
    'CREATE TABLE metier.quartiers AS SELECT n, $$Quartier $$ || n AS nom FROM generate_series(1, 50) n',
  );
  await site.query('VACUUM (FREEZE) metier.quartiers');
  await site.backUp('physical');
  await site.backUp('base');
  await site.backUp('dump');
  await site.commit();
  await site.commit();
  const [{ now = '' } = {}] = (
    await site.query(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now`)
  ).rows as { now: string }[];
  await site.query("SELECT pg_logical_emit_message(true, 'test', 'something to archive')");
  await site.query('SELECT pg_switch_wal()');
  await site.waitFor(async () => {
    const { windows } = await runInspection<'wal'>(site.session, { kind: 'wal', cluster: 'mairie' });
    return windows.length === 2 && windows.every(({ newest }) => (newest ?? '') >= now);
  }, 'both archives have all commits');
  await worker.stop();
});

const evidence = (): string => join(site.places.backupsDir, 'mairie', 'evidence');

/** Seals a drill with three engines. */
async function sealed(plan: DrillPlan): Promise<void> {
  const { operationId, digest } = plan;
  const folder = openDrillFolder(stateDir, operationId);
  const check = { policy: 'dump', name: 'row-counts', type: 'row-counts', detail: 'all rows', seconds: 1 };
  const whole = await folder.keepText('checks/dump/row-counts.json', '{"tables": 5}\n');
  await folder.saveChecks(2, [{ ...check, status: 'passed', evidence: whole }]);
  const input = { plan: digest, ended: 'done' };
  const outcome = await drills.run('sealEvidence', operationId, input);
  expect(outcome).toMatchObject({
    ...{ verdict: 'pass', drillId: operationId, evidence: { path: `mairie/evidence/${operationId}`, signed: true } },
    restores: [{ policy: 'physical', predicted: null }, { policy: 'base' }, { policy: 'dump' }],
  });
  expect(outcome.rpoSeconds).toBeGreaterThan(0);
  // Once more, also where something has changed since: the same evidence.
  await folder.saveChecks(2, [{ ...check, status: 'failed' }]);
  expect(await drills.run('sealEvidence', operationId, input)).toEqual(outcome);
  const own = join(evidence(), operationId);
  expect(await verifyEvidence(own, publicKey)).toMatchObject({ ok: true, drills: [{ sequence: 1, verdict: 'pass' }] });
  const report = await readFile(join(own, 'report.md'), 'utf8');
  for (const told of ['pg_restore', 'pgbackrest', 'Reprise', 'checks/dump/row-counts.json', 'What was not tested'])
    expect(report).toContain(told);
  await logged(operationId);
}

/** Each restore brings what its tool printed and what its server logged; rows of tables are in neither. */
async function logged(operationId: string): Promise<void> {
  const texts = new Map<string, string>();
  const folder = join(evidence(), operationId, 'logs');
  for (const name of await readdir(folder, { recursive: true }))
    if (name.endsWith('.txt')) texts.set(name, await readFile(join(folder, name), 'utf8'));
  const said = (name: RegExp, text: RegExp) =>
    expect([...texts].filter(([one]) => name.test(one)).map(([, one]) => one)).toContainEqual(
      expect.stringMatching(text),
    );
  said(
    /^restore-1\/(?!server|dump)/,
    /^\$ .*pgbackrest .* restore\n[^]*restore command end: completed successfully[^]*\nended with 0\n$/,
  );
  said(/^restore-1\/dump-again-/, /\$ .*pg_dump /);
  said(/^restore-[12]\/server\.txt/, /consistent recovery state reached/);
  said(/^restore-2\/(?!server|dump)/, /\nended with 0\n$/);
  said(/^restore-3\/(?!server|dump)/, /pg_restore: processing data for table/);
  said(/^restore-3\/server\.txt/, /database system is ready to accept connections/);
  said(/^restore-3\/check-queue\.txt/, /\nlooked at it\nended with 0; 8 bytes on its stdout, which are not kept\n$/);
  const manifest = await readFile(join(evidence(), operationId, 'manifest.json'), 'utf8');
  for (const name of texts.keys()) expect(manifest).toContain(`"logs/${name}"`);
  expect([...texts.values()].join('')).not.toContain('Jeanne');
}

/** A second drill follows the first; a byte that is changed and a drill that is gone are found. */
async function chained({ operationId, digest }: DrillPlan): Promise<void> {
  const outcome = await drills.run('sealEvidence', operationId, {
    plan: digest,
    ended: 'done',
    reason: 'nobody signed',
  });
  expect(outcome).toMatchObject({ verdict: 'incomplete', reason: 'nobody signed', rpoSeconds: null });
  expect(await verifyEvidence(evidence(), publicKey)).toMatchObject({
    ok: true,
    drills: [{ sequence: 1 }, { sequence: 2 }],
  });
  const report = await readFile(join(evidence(), operationId, 'report.html'), 'utf8');
  expect(report).toContain('aria-label="Recovery time over the drills"');
  const copy = join(site.root, 'copy');
  await cp(evidence(), copy, { recursive: true });
  await promisify(execFile)('chmod', ['-R', 'u+w', copy]);
  await appendFile(join(copy, 'op-latest', 'report.html'), ' ');
  expect((await verifyEvidence(copy, publicKey)).problems).toMatchObject([{ code: 'file-changed' }]);
  await rm(join(copy, 'op-latest'), { recursive: true });
  expect((await verifyEvidence(copy, publicKey)).problems).toMatchObject([{ code: 'drill-missing' }]);
}

describe('P4: a drill restores into a place of its own', () => {
  it('P4, V1, V4, F18: each engine in turn to the last commit, the engines that keep WAL to one position, checked and compared; production is as it was', async () => {
    const before = await production();
    const plan = await drills.plan('op-latest');
    expect(plan.restores.map(({ policy, chosen }) => [policy, chosen])).toEqual([
      ['physical', 'latest'],
      ['base', 'same-as'],
      ['dump', 'latest'],
    ]);
    const lsn = plan.restores[0]?.recovery?.stopsAt;
    expect(lsn).toMatchObject({ kind: 'lsn' });
    expect(plan.restores[1]?.recovery?.stopsAt).toEqual(lsn);
    // Found done: a second attempt shows the same plan.
    expect(await drills.plan('op-latest')).toEqual(plan);
    const hashes: object[] = [];
    for (const index of [0, 1]) {
      const restored = await drills.restore(plan, index);
      expect(restored.rtoSeconds).toBeGreaterThan(0);
      expect(restored.phases.map(({ name }) => name)).toEqual(['restore', 'replay']);
      expect(restored.bytes).toBeGreaterThan(1_000_000);
      const { rows } = await runQuery(
        stagingServer(),
        'mairie',
        `SELECT pg_is_in_recovery() AS recovery, current_setting('archive_mode') AS archive, current_setting('listen_addresses') AS listen,
                pg_get_wal_replay_pause_state() AS paused`,
      );
      expect(rows).toEqual([{ recovery: true, archive: 'off', listen: '', paused: 'paused' }]);
      hashes.push(await stagingHash());
      const checks = await drills.check(plan, index);
      expect(checks.filter((one) => / failed/.test(one))).toEqual([]);
      for (const name of ['target-reached', 'row-counts', 'page-checksums', 'dump-again'])
        expect(checks).toContainEqual(expect.stringMatching(`^${name} passed`));
    }
    expect(hashes[0]).toEqual(before.content);
    expect(hashes[1]).toEqual(before.content);
    await drills.restore(plan, 2);
    expect(
      (await runQuery(stagingServer(), 'mairie', 'SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows,
    ).toEqual([{ n: 3000 }]);
    const checks = await drills.check(plan, 2);
    expect(checks.filter((one) => / failed/.test(one))).toEqual([]);
    expect(checks).toContainEqual(expect.stringMatching(/^dump-again passed: 1 databases/));
    expect(checks).toContainEqual(expect.stringMatching(/^page-checksums skipped: a dump brings no pages along/));
    expect(await drills.run('crossCheck', plan.operationId, { plan: plan.digest })).toEqual([
      expect.objectContaining({ policy: 'base', name: 'cross-check with physical', status: 'passed' }),
      expect.objectContaining({ policy: 'dump', status: 'skipped', detail: expect.stringContaining('demandes_rdv') }),
    ]);
    await sealed(plan);
    await drills.run('closeStaging', 'op-latest');
    expect(await processesIn(staging)).toEqual([]);
    expect(await readdir(staging)).toEqual([]);
    expect(await production()).toEqual(before);
  });

  it('P4, V4: a random instant inside what can be recovered follows from the seed; another one restores another state', async () => {
    const first = await drills.plan('op-random-1', { engines: ['pgbackrest'], at: 'random', seed: '0123456789abcdef' });
    const [restore] = first.restores;
    expect(restore).toMatchObject({ chosen: 'random', target: { kind: 'time' } });
    const { from = '', to = '' } = restore?.window ?? {};
    const at = restore?.target.kind === 'time' ? restore.target.time : '';
    expect(Date.parse(at)).toBeGreaterThanOrEqual(Date.parse(from));
    expect(Date.parse(at)).toBeLessThanOrEqual(Date.parse(to));
    const reached = await drills.restore(first, 0);
    expect(reached.reached).toContain(at);
    // The first drill was the measure for this one.
    expect(restore?.predicted).toMatchObject({ samples: 1 });
    await chained(first);
    await drills.run('closeStaging', 'op-random-1');
    const again = await drills.plan('op-random-2', { engines: ['pgbackrest'], at: 'random', seed: '0123456789abcdef' });
    expect(again.restores[0]).toMatchObject({ target: restore?.target, window: restore?.window });
    await drills.run('closeStaging', 'op-random-2');
  });

  it('V1: of two engines at one position, a row that is changed in what one of them restored, with its checksum, is found, and its table named', async () => {
    const { rows } = await site.query(`SELECT pg_relation_filepath('metier.quartiers') AS path`);
    const { path } = rows[0] as { path: string };
    const plan = await unchecked.plan('op-changed', { engines: ['pgbackrest', 'base'] });
    await unchecked.restore(plan, 0);
    await unchecked.check(plan, 0);
    const step = { plan: plan.digest, restore: 1 };
    await unchecked.run('wipeStaging', plan.operationId, step);
    await unchecked.run('restoreStaging', plan.operationId, step);
    await changeRowSilently(join(staging, path), 'Quartier 7');
    await unchecked.run('startStaging', plan.operationId, step);
    // Each for itself looks whole.
    expect((await unchecked.check(plan, 1)).filter((one) => / failed/.test(one))).toEqual([]);
    expect(await unchecked.run('crossCheck', plan.operationId, { plan: plan.digest })).toEqual([
      expect.objectContaining({
        ...{ policy: 'base', name: 'cross-check with physical', status: 'failed' },
        detail: expect.stringMatching(/differ in 1 of \d+ tables: mairie: metier\.quartiers \(/),
        hint: expect.stringContaining('reprise backup verify'),
        evidence: expect.any(String),
      }),
    ]);
    expect(await unchecked.run('sealEvidence', plan.operationId, { plan: plan.digest, ended: 'done' })).toMatchObject({
      verdict: 'fail',
      reason: expect.stringContaining('metier.quartiers'),
    });
    await unchecked.run('closeStaging', plan.operationId);
  });
});

async function planOf(operationId: string): Promise<DrillPlan> {
  return drills.plan(operationId, { engines: ['dump'] });
}

describe('P4: one drill at a time in one place', () => {
  it('P4: a second drill is refused and names the first one, also after a killed worker; a released place is free', async () => {
    const plan = await planOf('op-first');
    await expect(planOf('op-second')).rejects.toMatchObject({
      type: 'conflict',
      message: expect.stringContaining('drill/mairie/op-first'),
    });
    await drills.run('closeStaging', 'op-first');
    await expect(drills.run('wipeStaging', 'op-first', { plan: plan.digest })).rejects.toMatchObject({
      type: 'conflict',
    });
    await planOf('op-third');
    await drills.run('closeStaging', 'op-third');
  });
});
