import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import { planText } from '../../../src/domain/plan/plan-text.js';
import { openHostState } from '../../../src/records/host-state.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { answer, editConfig, reaches, refusal, snapshot } from '../../helpers/site-cli.js';
import { pgCtl } from '../../helpers/site-template.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

/** Two hosts with folders of their own; both see the repository at the same path, as if it were mounted. */
let site: Site;
let other: { stateDir: string; dataDir: string; port: number };
let content: Record<string, string>;
const recover = ['recover', 'mairie', '--into', 'elsewhere', '--policy', 'physical'] as const;
const etc = () => join(site.root, 'etc');
const archive = () => join(site.root, 'pgb', 'repo', 'archive', 'main');

beforeAll(async () => {
  site = await Site.create();
  other = {
    stateDir: join(site.root, 'db2', 'state'),
    dataDir: join(site.root, 'db2', 'pgdata'),
    port: site.places.port + 1,
  };
  await mkdir(join(site.root, 'db2'), { mode: 0o755 });
  await editConfig(site, (text) =>
    text
      .replace('repositories:\n', `  db2: { state_dir: ${other.stateDir} }\nrepositories:\n`)
      .replace(
        / {8}beside: .*\n/,
        `        elsewhere: { host: db2, data_dir: ${other.dataDir}, port: ${other.port} }\n`,
      ),
  );
  // Access rules outside the data directory, as Debian has them: the other host has no such file.
  await pgCtl(site.binDir, site.places.dataDir, 'stop', '--mode', 'fast');
  await mkdir(etc());
  await giveToPostgres(etc());
  await rename(join(site.places.dataDir, 'pg_hba.conf'), join(etc(), 'pg_hba.conf'));
  await appendFile(join(site.places.dataDir, 'postgresql.conf'), `\nhba_file = '${etc()}/pg_hba.conf'\n`);
  await site.startServer();
  await site.startWorker();
  await site.backUp('physical');
  await site.commit(100);
  content = await site.contentHash();
  await site.archiveSegment();
  // What is committed last is in the source's pg_wal only, and goes with it.
  await site.commit(10);
});

it('K2, F28: a cluster whose host is dead is recovered onto another one, which alone keeps plan and approvals', async () => {
  const work = await site.recover('physical', { kind: 'latest' }, 'elsewhere');
  const waiting = await reaches(site, work.workflowId, 'waiting-worker');
  expect(waiting.waitingFor).toContain('reprise worker --host db2');
  await site.workers[0]?.kill();
  await site.loseInstance('all');
  await rm(etc(), { recursive: true });
  const before = await snapshot(archive());

  await site.startWorker({}, { host: 'db2' });
  const plan = await site.approve(work);
  expect(plan.binding).toMatchObject({
    sourceHost: 'db1',
    targetHost: 'db2',
    into: 'elsewhere',
    dataDir: other.dataDir,
    port: other.port,
    replaces: [],
  });
  expect(planText(plan)).toMatch(/into elsewhere on host db2/);
  expect(plan.observed.warnings).toEqual([
    expect.stringContaining('db1 did not archive is not salvaged'),
    expect.stringContaining('repository local is a directory of host db1'),
  ]);
  expect(await site.recovered(work)).toMatchObject({
    state: 'completed',
    outcome: { checks: [{ name: 'rows', status: 'passed' }] },
  });

  const there = { ...site.server, port: other.port };
  const ask = async (sql: string) => (await runQuery(there, 'mairie', sql)).rows[0];
  expect(
    await ask(
      "SELECT current_setting('archive_mode') AS mode, current_setting('listen_addresses') AS listen, pg_is_in_recovery() AS recovering",
    ),
  ).toEqual({ mode: 'off', listen: 'localhost', recovering: false });
  expect(await ask('SELECT count(*)::int AS n FROM metier.demandes_rdv')).toEqual({ n: 3100 });
  expect(Object.keys(content).length).toBeGreaterThan(0);
  expect(await snapshot(archive())).toEqual(before);
  expect(existsSync(site.places.dataDir)).toBe(false);

  const digest = plan.digest;
  expect(await openHostState(other.stateDir).usedBy(digest)).toMatchObject({ operationId: plan.binding.operationId });
  expect(await openHostState(site.places.stateDir).readPlan(digest)).toBeNull();
  expect(await readdir(join(site.places.stateDir, 'approvals')).catch(() => [])).toEqual([]);
  await pgCtl(site.binDir, other.dataDir, 'stop', '--mode', 'fast');
});

it('a directory of another host that is not here is refused with the reason, and nothing is made in its place', async () => {
  const repository = join(site.places.backupsDir, 'mairie');
  await rename(repository, `${repository}-away`);
  expect(await refusal(site, ...recover, '--dry-run')).toMatchObject({
    exit: 9,
    code: 'path-refused',
    message: expect.stringContaining('host db2 finds no files of mairie'),
    hint: expect.stringContaining('S3'),
  });
  expect(existsSync(repository)).toBe(false);
  await rename(`${repository}-away`, repository);
  expect(await answer(site, ...recover, '--dry-run')).toMatchObject({
    plan: { binding: { targetHost: 'db2', replaces: [{ what: other.dataDir }] } },
  });
});
