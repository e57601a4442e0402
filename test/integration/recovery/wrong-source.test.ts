import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runAsPostgres } from '../../helpers/postgres-user.js';
import { answer, refusal, snapshot } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

interface Manifest {
  database: string;
  cluster: string;
  server: { versionNum: number };
}

let site: Site;

beforeAll(async () => {
  site = await Site.create();
  const worker = await site.startWorker();
  await site.backUp('dump');
  await site.backUp('physical');
  await worker.stop();
  await forgetManifestHash();
  // Records never change: a worker reads each of them once.
  await site.startWorker();
});

/** As a version recorded dumps that did not know the hash of a manifest: with it, a changed manifest is damage (G1). */
async function forgetManifestHash(): Promise<void> {
  const records = join(site.places.backupsDir, 'mairie', 'records');
  for (const name of await readdir(records)) {
    const record = JSON.parse(await readFile(join(records, name), 'utf8')) as { backup?: { manifestSha256?: string } };
    if (record.backup?.manifestSha256 === undefined) continue;
    delete record.backup.manifestSha256;
    await writeFile(join(records, name), JSON.stringify(record));
  }
}

/** Everything a recovery could change, server included where it runs. */
const world = () => snapshot(site.places.backupsDir, join(site.root, 'pgb', 'repo'), site.places.dataDir);

/** Refused by a dry run and by the recovery itself, which ends before anybody is asked to approve. */
async function refused(policy: string): Promise<{ exit: number; code: string; message: string }> {
  const dry = await refusal(site, 'recover', 'mairie', '--policy', policy, '--dry-run');
  const real = await refusal(site, 'recover', 'mairie', '--policy', policy);
  expect({ ...real, hint: '' }).toEqual({ ...dry, hint: '' });
  expect(dry.hint).not.toBe('');
  return dry;
}

/** Does `run` with the newest dump's manifest changed, and puts it back. */
async function withManifest(change: (manifest: Manifest) => void, run: () => Promise<void>): Promise<void> {
  const backup = (await site.backups()).find(({ engine }) => engine === 'logical');
  const file = join(site.places.backupsDir, 'mairie', 'dump', `${backup?.label}.json`);
  const kept = await readFile(file, 'utf8');
  const manifest = JSON.parse(kept) as Manifest;
  change(manifest);
  await writeFile(file, JSON.stringify(manifest));
  try {
    await run();
  } finally {
    await writeFile(file, kept);
  }
}

const setVersion = (manifest: Manifest): void => void (manifest.server.versionNum = 170002);
const setDatabase = (manifest: Manifest): void => void (manifest.database = 'archives');

describe('F17: what is of another server is refused before anything is changed', () => {
  it.each([
    ['a dump of a newer version', setVersion, 'version-mismatch', /PostgreSQL 15 .* PostgreSQL 17/],
    ['a dump of another database', setDatabase, 'identity-mismatch', /"archives", not of "mairie"/],
  ] as const)('%s', async (_name, change, code, message) => {
    const content = await site.contentHash();
    await withManifest(change, async () => {
      expect(await refused('dump')).toMatchObject({ exit: 9, code, message: expect.stringMatching(message) });
    });
    expect(await site.contentHash()).toEqual(content);
    const { rows } = await site.query("SELECT datname FROM pg_database WHERE datname LIKE 'mairie%'", 'postgres');
    expect(rows).toEqual([{ datname: 'mairie' }]);
  });

  it('a data directory of another cluster: its system identifier is not that of the backup', async () => {
    await site.loseInstance('all');
    await runAsPostgres(join(site.binDir, 'initdb'), ['--pgdata', site.places.dataDir, '--auth=trust', '--no-sync']);
    // One that nothing was ever created in is put aside: W13.
    const { dataDir, socketDir } = site.places;
    const pgCtl = (...argv: string[]) =>
      runAsPostgres(join(site.binDir, 'pg_ctl'), [...argv, '-w', '-s', '-D', dataDir]);
    await pgCtl('start', '-l', `${dataDir}.log`, '-o', `-p 65432 -k '${socketDir}' -c listen_addresses=`);
    try {
      await runAsPostgres('createdb', ['-h', socketDir, '-p', '65432', 'archives']);
    } finally {
      await pgCtl('stop', '-m', 'fast');
    }
    await rm(join(site.places.dataDir, 'postmaster.pid'), { force: true });
    const before = await world();
    expect(await refused('physical')).toMatchObject({
      exit: 9,
      code: 'identity-mismatch',
      message: expect.stringMatching(/of the cluster \d+, not of \d+/),
    });
    // Reprise's own records of the attempt aside, which are the journal's.
    const after = await world();
    for (const [path, content] of Object.entries(before)) expect([path, after[path]]).toEqual([path, content]);
    expect(Object.keys(after).filter((path) => !(path in before) && !path.includes('/records/'))).toEqual([]);
    expect((await answer<{ kept: unknown[] }>(site, 'kept', 'list')).kept).toEqual([]);
  });
});
