import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CopyObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { observeColdFiles } from '../../../src/activities/recovery/thaw.js';
import { planThaw } from '../../../src/domain/plan/thaw.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { ReadContext } from '../../../src/engines/engine.js';
import { pgbackrestEngine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { walgEngine } from '../../../src/engines/walg/walg-engine.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { startMoto } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { approved, planned, reaches, told } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { tempDir } from '../../helpers/temp.js';
import { testTools } from '../../helpers/test-tools.js';
import { renamedFunctions } from '../../helpers/walg.js';

failOnLeakedProcesses();

let moto: S3Server;

beforeAll(async () => {
  moto = await startMoto();
  // A thaw takes some looks, not hours; everything else is as it would be.
  await fetch(`${moto.endpoint}/moto-api/state-manager/set-transition`, {
    method: 'POST',
    body: JSON.stringify({ model_name: 's3::keyrestore', transition: { progression: 'manual', times: 3 } }),
  });
});

/** As a lifecycle would: what is big and old goes to a cold class. */
async function freeze(bucket: string, isOld: (key: string) => boolean): Promise<string[]> {
  const { Contents = [] } = await moto.client.send(new ListObjectsV2Command({ Bucket: bucket }));
  const keys = Contents.flatMap(({ Key }) => (Key !== undefined && isOld(Key) ? [Key] : []));
  for (const Key of keys)
    await moto.client.send(
      new CopyObjectCommand({
        Bucket: bucket,
        Key,
        CopySource: `${bucket}/${Key}`,
        StorageClass: 'GLACIER',
        MetadataDirective: 'COPY',
      }),
    );
  return keys;
}

describe('F13: a backup of WAL-G whose objects lie in GLACIER', () => {
  it('is found by the plan, thawed after the approval, waited for, and recovered with its WAL', async () => {
    const bucket = await moto.bucket('walg');
    const place = await tempDir('walg');
    await chmod(place, 0o755);
    const envFile = join(place, 'asso.env');
    const settings = [
      `WALG_S3_PREFIX=s3://${bucket}/postgres`,
      `AWS_ENDPOINT=${moto.endpoint}`,
      'AWS_S3_FORCE_PATH_STYLE=true',
      'AWS_REGION=us-east-1',
      `AWS_ACCESS_KEY_ID=${moto.accessKeyId}`,
      `export AWS_SECRET_ACCESS_KEY='${moto.secretAccessKey}'`,
    ];
    await writeFile(envFile, `${settings.join('\n')}\n`, { mode: 0o600 });
    await giveToPostgres(envFile);
    const options = { envFile, binary: testTools.walg(), archiveTimeoutSeconds: 240 };
    const archiveCommand = walgEngine.physical?.archiveCommand({ policy: { options } } as never) ?? '';
    const site = await Site.create({
      physical: { engine: 'walg', optionsYaml: `{ env_file: ${envFile}, binary: ${options.binary} }`, archiveCommand },
    });
    await site.query(renamedFunctions, 'postgres');
    await site.query('CREATE TABLE marks (n int PRIMARY KEY)');
    await site.startWorker();
    const [backup] = (await site.backUp('physical')).backups;
    await site.query('INSERT INTO marks VALUES (1)');
    const older = await site.archiveSegment();
    await site.query('INSERT INTO marks VALUES (2)');
    await site.archiveSegment();
    const cold = await freeze(bucket, (key) => key.includes('/tar_partitions/') || key.includes(older));
    expect(cold.length).toBeGreaterThan(1);
    await site.loseInstance('all');

    const { exit, document } = await told<{ plan: { binding: { thaw: unknown }; observed: { thaw: unknown } } }>(
      site,
      'recover',
      'mairie',
      '--to',
      'latest',
      '--thaw-tier',
      'Expedited',
      '--dry-run',
    );
    expect(exit).toBe(0);
    expect(document.plan.binding.thaw).toEqual({ tier: 'Expedited', days: 7 });
    expect(document.plan.observed.thaw).toMatchObject({ objects: cold.length, storageClasses: ['GLACIER'] });

    const started = await planned(site, '--thaw-tier', 'Expedited');
    expect(started.plan.binding.backups).toMatchObject([{ label: backup?.label }]);
    await approved(site, started);
    expect(await reaches(site, started.workflowId, 'waiting-thaw')).toMatchObject({
      waitingFor: expect.stringContaining('tier Expedited'),
    });
    await reaches(site, started.workflowId, 'completed');
    expect((await site.query('SELECT n FROM marks ORDER BY n')).rows).toEqual([{ n: 1 }, { n: 2 }]);
  });
});

describe('F13: a backup of pgBackRest in S3', () => {
  const label = '20251101-021503F';
  const walStart = '000000010000000000000005';
  const context = async (config: string): Promise<ReadContext> =>
    ({
      policy: { options: { stanza: 'mairie', config } },
      user: null,
      signal: new AbortController().signal,
    }) as unknown as ReadContext;
  const config = async (more: readonly string[]): Promise<string> => {
    const path = join(await tempDir('pgbackrest'), 'pgbackrest.conf');
    await writeFile(
      path,
      [
        '[global]',
        'repo1-type=s3',
        'repo1-path=/repo',
        'repo1-s3-region=us-east-1',
        'repo1-s3-uri-style=path',
        ...more,
        '[mairie]',
        'pg1-path=/x',
        '',
      ].join('\n'),
      { mode: 0o600 },
    );
    return path;
  };
  /** Asked of an engine of which only the place of its files is asked. */
  const observed = async (configFile: string) => {
    const read = await context(configFile);
    const engine = {
      ...pgbackrestEngine,
      list: async () => [
        {
          label,
          type: 'full',
          startedAt: '2025-11-01T02:15:03Z',
          finishedAt: '2025-11-01T02:16:00Z',
          sizeBytes: 1,
          wal: { start: walStart, stop: walStart },
        },
      ],
    };
    const deps = {
      ...hostDependencies(
        {
          hosts: { db1: { stateDir: await tempDir('state') } },
          clusters: {},
          repositories: { local: { name: 'local', type: 'directory', options: { path: await tempDir('records') } } },
        } as never,
        'db1',
      ),
      engineOf: () => engine,
      postgresBin: async () => '/',
    };
    const made = {
      cluster: { name: 'mairie', host: 'db1' },
      host: {},
      user: null,
      deps,
      catalogue: {
        state: async () => ({
          ...{ backups: [], holds: new Map(), proofs: new Map(), pins: [] },
          repositories: new Map(),
        }),
      },
    } as unknown as ClusterContext;
    const policy = { ...read.policy, name: 'nightly', engine: 'pgbackrest', repository: 'local' };
    const run = {
      aheadSeconds: 0,
      signal: read.signal,
      leaveOnAbort: () => false,
      report: () => undefined,
      cursor: undefined,
      keep: () => undefined,
      name: 'test',
      atEnd: () => undefined,
    };
    return observeColdFiles(made, policy as never, [{ label }], run, 'op');
  };

  it('what its recovery would read and is cold is what the plan counts; where nobody can look, it says so', async () => {
    const bucket = await moto.bucket('pgbackrest');
    const put = (Key: string, StorageClass?: 'DEEP_ARCHIVE') =>
      moto.client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: `repo/${Key}`,
          Body: 'xy',
          ...(StorageClass ? { StorageClass } : {}),
        }),
      );
    await put(`backup/mairie/${label}/pg_data/base/1/1.gz`, 'DEEP_ARCHIVE');
    await put(`backup/mairie/${label}/backup.manifest`);
    await put('backup/mairie/20250101-021503F/pg_data/base/1/1.gz', 'DEEP_ARCHIVE');
    for (const name of ['000000010000000000000004', walStart, '000000020000000000000006'])
      await put(`archive/mairie/15-1/${name.slice(0, 16)}/${name}-${'a'.repeat(40)}.gz`, 'DEEP_ARCHIVE');
    const keys = [
      `repo1-s3-bucket=${bucket}`,
      `repo1-s3-endpoint=${moto.endpoint}`,
      `repo1-s3-key=${moto.accessKeyId}`,
    ];
    const secret = `repo1-s3-key-secret=${moto.secretAccessKey}`;
    const found = await observed(await config([...keys, secret]));
    expect(found.notSeen).toBeNull();
    expect(planThaw(found, 'Bulk')).toMatchObject({
      planned: { tier: 'Bulk', days: 7 },
      observed: { objects: 3, bytes: 6, storageClasses: ['DEEP_ARCHIVE'] },
    });

    const gone = await observed(await config([...keys, secret, 'repo1-s3-bucket=gone']));
    expect(planThaw(gone, 'Bulk')).toBeNull();
    expect(gone.notSeen).toMatch(/the bucket gone .*NoSuchBucket/);
    expect(gone.notSeen).not.toContain(moto.secretAccessKey);

    const misnamed = await observed(await config([...keys, 'repo1-s3-key-secret=x', 'repo1-s3-bucket=No Bucket']));
    expect(planThaw(misnamed, 'Bulk')).toBeNull();
    expect(misnamed.notSeen).toMatch(/a bucket has 3 to 63/);
  });
});
