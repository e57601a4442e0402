import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { loadConfig } from '../../../src/config/load.js';
import type { DrillOutcome, DrillPlan } from '../../../src/domain/drill/drill.js';
import { findPostgresBin } from '../../../src/process/exec/find-programs.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { makeAgeKey } from '../../helpers/age.js';
import { Drills } from '../../helpers/drills.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { type S3Server, startVersity } from '../../helpers/s3-servers.js';
import { answer, editConfig, refusal } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { renamedFunctions, walgPolicy } from '../../helpers/walg.js';

failOnLeakedProcesses();

let storage: S3Server;
let site: Site;
let home: string;
let staging: string;
let publicKey: string;

/** Read by whoever opens the data directory, and by no running server. */
const readAtStart = ['PG_VERSION', 'postgresql.conf', 'pg_hba.conf'];
const live = (name: string): string => join(site.places.dataDir, name);
const accessed = async (): Promise<readonly number[]> =>
  Promise.all(readAtStart.map(async (name) => (await stat(live(name))).atimeMs));
/** Lines that the server of production wrote for clients. */
const clientLines = async (): Promise<number> =>
  (await readFile(`${site.places.dataDir}.log`, 'utf8')).split('\n').filter((line) => /^db=\S/.test(line)).length;

beforeAll(async () => {
  storage = await startVersity();
  await storage.bucket('backups');
  const { physical } = await walgPolicy();
  const [port] = (await freePorts(1)) as [number];
  site = await Site.create({ offsite: storage.repositoryYaml('backups'), physical });
  home = join(site.root, 'staging1');
  staging = join(home, 'staging');
  await mkdir(join(home, 'state'), { recursive: true, mode: 0o700 });
  await giveToPostgres(home);
  const key = join(home, 'evidence_key');
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  publicKey = `${key}.pub`;
  const age = await makeAgeKey();
  await editConfig(site, (text) =>
    text
      .replace(
        'engine: logical,',
        `$& encryption: { recipients: [${age.recipient}], identity: { file: ${age.file} } },`,
      )
      .replace('repositories:\n', `  staging1: { state_dir: ${join(home, 'state')}, timeouts: { heartbeat: 2s } }\n$&`)
      .replace(
        'contacts:\n',
        `    drill: { host: staging1, data_dir: ${staging}, port: ${port} }\nevidence: { signing_key: ${key} }\n$&`,
      ),
  );
  await site.query(renamedFunctions, 'postgres');
  const worker = await site.startWorker();
  await site.backUp('physical');
  await site.backUp('dump');
  await site.commit();
  await site.commit();
  const { rows } = await site.query('SELECT pg_walfile_name(pg_switch_wal()) AS segment');
  const { segment } = rows[0] as { segment: string };
  await site.waitFor(
    async () =>
      (await site.query(`SELECT FROM pg_stat_archiver WHERE last_archived_wal >= '${segment}'`)).rows.length === 1,
    `${segment} is archived`,
  );
  await worker.stop();
});

/** What the staging host says of a drill that its plan refuses, with something of that host or its configuration changed. */
async function refusedOnStaging(
  engine: string,
  {
    config = (text) => text,
    deps: change = {},
  }: { config?: (text: string) => string; deps?: Partial<HostDependencies> },
): Promise<{ type: string; message: string; hint: string | undefined }> {
  const file = join(home, 'changed.yml');
  await writeFile(file, config(await readFile(site.places.configFile, 'utf8')), { mode: 0o600 });
  const drills = new Drills({ ...hostDependencies(await loadConfig({ file }), 'staging1'), ...change });
  const error = await drills.plan(`op-refused-${randomUUID()}`, { engines: [engine] }).then(
    () => new Error('it was planned'),
    (thrown: Error & { type?: string; details?: [{ hint?: string }] }) => thrown,
  );
  return {
    type: 'type' in error ? (error.type ?? '') : '',
    message: error.message,
    hint: 'details' in error ? error.details?.[0].hint : undefined,
  };
}

/** The evidence of a drill as it lies in the bucket, copied as an auditor would. */
async function copyEvidence(path: string): Promise<void> {
  const { Contents = [] } = await storage.client.send(
    new ListObjectsV2Command({ Bucket: 'backups', Prefix: `${path}/` }),
  );
  for (const { Key = '' } of Contents) {
    const { Body } = await storage.client.send(new GetObjectCommand({ Bucket: 'backups', Key }));
    const file = join(site.root, 'auditor', Key);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, (await Body?.transformToByteArray()) ?? '');
  }
}

describe('P4: a staging host that is not the host of the cluster', () => {
  it('P4: what is missing there is refused by the plan, before anything is emptied, with what to do', async () => {
    expect(await refusedOnStaging('walg', {})).toMatchObject({
      type: 'path-refused',
      message: expect.stringContaining('repository local is a directory of host db1'),
      hint: expect.stringContaining('mount it on staging1 at the same path'),
    });
    // From here on it is mounted there.
    await mkdir(join(site.places.backupsDir, 'mairie'), { recursive: true });
    const wal = await refusedOnStaging('walg', {
      config: (text) => text.replace(/binary: [^ }]+/, 'binary: /nonexistent/wal-g'),
    });
    expect(wal).toMatchObject({
      type: 'tool-missing',
      message: expect.stringContaining('/nonexistent/wal-g'),
      hint: expect.any(String),
    });
    for (const engine of ['walg', 'logical'])
      expect(await refusedOnStaging(engine, { deps: { postgresBin: () => findPostgresBin(99) } })).toMatchObject({
        type: 'tool-missing',
        message: 'PostgreSQL 99 was not found',
        hint: expect.stringContaining('postgresql-99'),
      });
    const mask = { config: (text: string) => text.replace(/drill: \{/, '$& mask: { argv: [/nonexistent/mask] },') };
    expect(await refusedOnStaging('logical', mask)).toMatchObject({
      type: 'tool-missing',
      message: expect.stringContaining('/nonexistent/mask'),
    });
    for (const [what, config] of [
      [
        '/nonexistent/age.key',
        (text: string) => text.replace(/identity: \{ file: [^ }]+/, 'identity: { file: /nonexistent/age.key'),
      ],
      [
        '/nonexistent/signer',
        (text: string) => text.replace(/signing_key: [^ }]+/, 'signing_key: /nonexistent/signer'),
      ],
    ] as const)
      expect(await refusedOnStaging('logical', { config })).toMatchObject({
        type: 'key-missing',
        message: expect.stringContaining(what),
        hint: expect.any(String),
      });
    expect(await readdir(staging)).toEqual([]);
  });

  it('P4, V4: with WAL-G and a dump from S3, while the worker of the source is down; production is neither opened nor asked', async () => {
    await site.startWorker({}, { host: 'staging1' });
    for (const name of readAtStart) await utimes(live(name), 0, Date.now() / 1000);
    const before = { accessed: await accessed(), lines: await clientLines() };
    const outcome = await answer<DrillOutcome>(
      site,
      'drill',
      'run',
      'mairie',
      '--engine',
      'walg',
      '--engine',
      'dump',
      '--at',
      'latest',
    );
    expect(outcome).toMatchObject({
      verdict: 'pass',
      restores: [{ policy: 'physical', engine: 'walg' }, { policy: 'dump' }],
      evidence: { signed: true },
    });
    expect(outcome.checks.filter(({ status }) => status === 'failed')).toEqual([]);
    for (const name of ['target-reached', 'row-counts', 'page-checksums', 'dump-again', 'rows'])
      expect(outcome.checks).toContainEqual(expect.objectContaining({ policy: 'physical', name, status: 'passed' }));
    expect(outcome.notTested).toContainEqual(expect.objectContaining({ kind: 'host', name: 'db1' }));
    const random = ['--engine', 'walg', '--at', 'random', '--seed', '0123456789abcdef'] as const;
    const { plan } = await answer<{ plan: DrillPlan }>(site, 'drill', 'run', 'mairie', ...random, '--dry-run');
    const [planned] = plan.restores;
    const { from = '', to = '' } = planned?.window ?? {};
    const at = planned?.target.kind === 'time' ? planned.target.time : '';
    expect(Date.parse(at)).toBeGreaterThanOrEqual(Date.parse(from));
    expect(Date.parse(at)).toBeLessThanOrEqual(Date.parse(to));
    const second = await answer<DrillOutcome>(site, 'drill', 'run', 'mairie', ...random);
    expect(second).toMatchObject({
      verdict: 'pass',
      target: { requested: at, reached: expect.stringContaining(at) },
    });
    expect({ accessed: await accessed(), lines: await clientLines() }).toEqual(before);
    expect(await readdir(staging)).toEqual([]);
    for (const { evidence } of [outcome, second]) await copyEvidence(evidence?.path ?? '');
    expect(
      await answer(
        site,
        'drill',
        'evidence',
        join(site.root, 'auditor', 'mairie', 'evidence'),
        '--verify',
        '--public-key',
        publicKey,
      ),
    ).toMatchObject({
      ok: true,
      drills: [
        { sequence: 1, verdict: 'pass' },
        { sequence: 2, verdict: 'pass' },
      ],
    });
    // What the staging host knows needs nobody else.
    expect(await answer(site, 'drill', 'list')).toMatchObject({
      drills: [{ drillId: outcome.drillId }, { drillId: second.drillId }],
    });
    expect(await answer(site, 'drill', 'show', outcome.drillId)).toMatchObject({ verdict: 'pass' });
    const listed = await site.waitFor(async () => {
      const found = await answer<{ running: readonly unknown[]; register: readonly unknown[] }>(
        ...([site, 'drill', 'list', 'mairie'] as const),
      );
      return found.running.length === 0 && found;
    }, 'no drill is listed as running');
    expect(listed.register).toEqual([]);
    expect(
      await refusal(site, 'drill', 'evidence', outcome.drillId, '--verify', '--public-key', publicKey),
    ).toMatchObject({ code: 'path-refused', hint: expect.stringContaining('copy its folder') });
  });
});
