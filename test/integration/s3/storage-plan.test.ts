import {
  GetBucketLifecycleConfigurationCommand,
  GetObjectLockConfigurationCommand,
  HeadBucketCommand,
  PutBucketLifecycleConfigurationCommand,
} from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { StoragePlan } from '../../../src/domain/storage/storage-plan.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMinio, startMoto, startVersity } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { told } from '../../helpers/site-cli.js';
import { storageSite } from '../../helpers/storage-site.js';
import type { StorageSite } from '../../helpers/storage-site.js';

failOnLeakedProcesses();

const lifecycleOfP3 =
  'versioning: true, lifecycle: { standard_ia_days: 90, deep_archive_days: 365, noncurrent_deep_archive_days: 90 }';
const setting = (plan: StoragePlan, name: string) => plan.settings.find((one) => one.name === name);
const verdicts = (plan: StoragePlan) => Object.fromEntries(plan.settings.map(({ name, verdict }) => [name, verdict]));
const texts = (plan: StoragePlan) => plan.notes.map(({ text, hint }) => `${text} ${hint ?? ''}`).join('\n');
const policy = (retention: string, rest = '') => `    objectives: { rto: 4h, rpo: 5m }
    backups:
      dump: { engine: logical, repository: offsite, retention: ${retention}${rest} }
`;

/** A site whose repository `offsite` lies in that bucket below `postgres/`. */
function site(server: S3Server, bucket: string, more: string, cluster = policy('{ days: 14 }')): Promise<StorageSite> {
  return storageSite({
    repositories: `  offsite: ${server.repositoryYaml(bucket, `prefix: postgres, ${more}`)}`,
    catalogue: 'offsite',
    cluster,
  });
}

const planOf = async (where: StorageSite) =>
  (await where.answer<'storage-plan'>({ kind: 'storage-plan', repository: 'offsite' })).plan;
const applyTo = (where: StorageSite, plan: StoragePlan) => where.apply('offsite', plan.digest);

describe('on a server with lifecycles (moto)', () => {
  let moto: S3Server;
  beforeAll(async () => {
    moto = await startMoto();
  });
  const rulesOf = async (bucket: string) =>
    (await moto.client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))).Rules;

  it('P3: makes the bucket in its region, with versions and the very lifecycle; then nothing is left to change', async () => {
    const where = await site(moto, 'made-here', `region: eu-west-3, ${lifecycleOfP3}`);
    const plan = await planOf(where);
    expect(setting(plan, 'bucket')).toMatchObject({ is: [], wanted: ['exists in eu-west-3'], verdict: 'change' });
    await expect(moto.client.send(new HeadBucketCommand({ Bucket: 'made-here' }))).rejects.toMatchObject({
      name: 'NotFound',
    });

    const { applied, plan: after } = await applyTo(where, plan);
    expect(applied.filter(({ done }) => !done)).toEqual([]);
    expect(await moto.client.send(new HeadBucketCommand({ Bucket: 'made-here' }))).toMatchObject({
      BucketRegion: 'eu-west-3',
    });
    expect(await rulesOf('made-here')).toEqual([
      {
        ...{ ID: 'reprise/postgres', Status: 'Enabled', Filter: { Prefix: 'postgres/' } },
        Transitions: [
          { Days: 90, StorageClass: 'STANDARD_IA' },
          { Days: 365, StorageClass: 'DEEP_ARCHIVE' },
        ],
        NoncurrentVersionTransitions: [{ NoncurrentDays: 90, StorageClass: 'DEEP_ARCHIVE' }],
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
      },
    ]);
    expect(Object.values(verdicts(after))).toEqual(Array.from({ length: 6 }, () => 'same'));
    expect(verdicts(await planOf(where))).toEqual(verdicts(after));
    // Without it a versioned bucket forgets nothing; and what cold classes cost at least.
    expect(texts(after)).toContain('noncurrent_expire_days: 270');
    expect(texts(after)).toContain(
      'STANDARD_IA is charged for at least 30 days, however soon it is removed, as at least 128 KiB an object',
    );
    expect(texts(after)).toContain('DEEP_ARCHIVE is charged for at least 180 days');
  });

  it('P3: drift is shown line by line; rules of others are kept, and a plan that is no longer true changes nothing', async () => {
    await moto.bucket('drifted');
    const foreign = { ID: 'logs', Status: 'Enabled' as const, Filter: { Prefix: 'logs/' }, Expiration: { Days: 10 } };
    const set = (days: number) =>
      moto.client.send(
        new PutBucketLifecycleConfigurationCommand({
          Bucket: 'drifted',
          LifecycleConfiguration: {
            Rules: [
              foreign,
              {
                ID: 'reprise/postgres',
                Status: 'Enabled',
                Filter: { Prefix: 'postgres/' },
                Transitions: [{ Days: days, StorageClass: 'STANDARD_IA' }],
              },
            ],
          },
        }),
      );
    await set(30);
    const where = await site(moto, 'drifted', lifecycleOfP3);
    const plan = await planOf(where);
    expect(setting(plan, 'versioning')).toMatchObject({ is: ['off'], wanted: ['enabled'] });
    const lifecycle = setting(plan, 'lifecycle');
    expect(lifecycle?.is).toContain('"reprise/postgres": after 30 days to STANDARD_IA');
    expect(lifecycle?.wanted).toContain('"reprise/postgres": after 90 days to STANDARD_IA');
    for (const lines of [lifecycle?.is, lifecycle?.wanted])
      expect(lines).toContain('"logs" (not ours, kept): after 10 days removed');

    await set(31);
    await expect(applyTo(where, plan)).rejects.toMatchObject({ code: 'plan-stale' });
    expect((await rulesOf('drifted'))?.[1]?.Transitions).toEqual([{ Days: 31, StorageClass: 'STANDARD_IA' }]);
    await applyTo(where, await planOf(where));
    expect((await rulesOf('drifted'))?.map(({ ID, Expiration }) => [ID, Expiration])).toEqual([
      ['logs', { Days: 10 }],
      ['reprise/postgres', undefined],
    ]);
  });

  it('P3: warns in the plan and refuses to apply a lifecycle that puts a promised backup out of reach of its recovery time, naming both', async () => {
    await moto.bucket('out-of-reach');
    const where = await site(moto, 'out-of-reach', lifecycleOfP3, policy('{ monthly: 24 }'));
    const plan = await planOf(where);
    expect(plan.refusals).toEqual([
      expect.objectContaining({
        rule: 'rule "reprise/postgres": DEEP_ARCHIVE after 365 days',
        promise: expect.stringMatching(/policy mairie\/dump: retention\.monthly 24.*objectives\.rto 4 h/),
      }),
    ]);
    await expect(applyTo(where, plan)).rejects.toMatchObject({
      code: 'lifecycle-refused',
      message: expect.stringMatching(/reprise\/postgres.*retention\.monthly 24/),
    });
    await expect(rulesOf('out-of-reach')).rejects.toMatchObject({ name: 'NoSuchLifecycleConfiguration' });
  });

  it("P3: refuses as well where somebody else's rule removes what retention keeps", async () => {
    await moto.bucket('removing');
    await moto.client.send(
      new PutBucketLifecycleConfigurationCommand({
        Bucket: 'removing',
        LifecycleConfiguration: {
          Rules: [{ ID: 'tidy', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Days: 7 } }],
        },
      }),
    );
    const where = await site(moto, 'removing', lifecycleOfP3);
    const { refusals } = await planOf(where);
    expect(refusals.map(({ promise }) => promise)).toEqual([
      'policy mairie/dump: retention.days 14',
      'policy mairie/dump: retention.min_proven 2',
    ]);
    expect(refusals[0]?.rule).toBe('rule "tidy": removes objects after 7 days');
  });

  it('P3: the command line asks for the name, refuses without it, applies with --yes, and says the same under --json', async () => {
    const where = await site(moto, 'by-hand', lifecycleOfP3);
    const shown = await where.cli('storage', 'plan');
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(
      /\+ exists in us-east-1[\s\S]*\+ "reprise\/postgres": after 365 days to DEEP_ARCHIVE[\s\S]*5 settings to change: reprise storage apply offsite/,
    );
    const dry = await told<{ dryRun: boolean; repositories: StoragePlan[] }>(
      where,
      'storage',
      'apply',
      'offsite',
      '--dry-run',
    );
    expect(dry).toMatchObject({
      exit: 0,
      document: { schemaVersion: 1, dryRun: true, repositories: [{ repository: 'offsite', host: 'db1' }] },
    });
    expect(await told(where, 'storage', 'apply', 'offsite')).toMatchObject({
      exit: 9,
      error: { code: 'confirmation-needed' },
    });
    await expect(moto.client.send(new HeadBucketCommand({ Bucket: 'by-hand' }))).rejects.toMatchObject({
      name: 'NotFound',
    });
    expect(await told(where, 'storage', 'apply', 'ofsite', '--yes')).toMatchObject({
      exit: 6,
      error: { hint: expect.stringContaining('offsite') },
    });
    expect(await told(where, 'storage', 'apply', 'offsite', '--yes')).toMatchObject({
      exit: 0,
      document: { repositories: [{ applied: expect.arrayContaining([{ name: 'bucket', done: true }]) }] },
    });
    expect((await where.cli('storage', 'apply', 'offsite', '--yes')).stdout).toContain('nothing to change');
  });
});

describe('where the server lacks things', () => {
  it('P3: VersityGW: no lifecycle, no public access block, no encryption default, and the wrong times of versions are all said; the rest is set', async () => {
    const versity = await startVersity();
    await versity.bucket('gaps', { locked: true });
    const where = await site(versity, 'gaps', `${lifecycleOfP3}, object_lock: { mode: governance, days: 3 }`);
    const plan = await planOf(where);
    expect(verdicts(plan)).toEqual({
      bucket: 'same',
      versioning: 'same',
      'object lock': 'change',
      'public access block': 'lacking',
      'default encryption': 'lacking',
      lifecycle: 'lacking',
    });
    expect(setting(plan, 'lifecycle')?.detail).toContain('this server does not support it (NotImplemented)');
    expect(texts(plan)).toContain('at which it was superseded');
    const { applied } = await applyTo(where, plan);
    expect(applied).toEqual([{ name: 'object lock', done: true }]);
    expect(
      (await versity.client.send(new GetObjectLockConfigurationCommand({ Bucket: 'gaps' }))).ObjectLockConfiguration
        ?.Rule?.DefaultRetention,
    ).toMatchObject({ Mode: 'GOVERNANCE', Days: 3 });
    expect(verdicts(await planOf(where))).toMatchObject({ 'object lock': 'same' });
    await versity.stop();
  });

  it('P3: MinIO refuses STANDARD_IA: said with its own word, and stops no other setting', async () => {
    const minio = await startMinio();
    const where = await site(minio, 'refusing', lifecycleOfP3);
    const { applied } = await applyTo(where, await planOf(where));
    expect(applied.find(({ name }) => name === 'lifecycle')).toMatchObject({
      done: false,
      detail: expect.stringContaining('Invalid'),
    });
    expect(applied).toContainEqual({ name: 'versioning', done: true });
    await minio.stop();
  });

  it('a directory says that it has nothing to plan, and what is free', async () => {
    const where = await storageSite({
      repositories: '  offsite: { type: directory, path: ./backups, host: db1 }',
      catalogue: 'offsite',
    });
    expect(await planOf(where)).toMatchObject({
      settings: [],
      notes: [{ text: expect.stringMatching(/nothing to plan.*free/) }],
    });
  });
});
