import { CopyObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { objectLocks } from '../../../src/activities/backup/rotate.js';
import { currentBackups, openClusterContext, readContext } from '../../../src/activities/cluster-context.js';
import { observeColdFiles } from '../../../src/activities/recovery/thaw.js';
import { planThaw } from '../../../src/domain/plan/thaw.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { loadConfig } from '../../../src/config/load.js';
import { basebackupEngine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMoto } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { storageSite } from '../../helpers/storage-site.js';
import { fact } from '../../unit/records/samples.js';

failOnLeakedProcesses();

let moto: S3Server;
beforeAll(async () => {
  moto = await startMoto();
  // A thaw takes one look, not twelve hours.
  await fetch(`${moto.endpoint}/moto-api/state-manager/set-transition`, {
    method: 'POST',
    body: JSON.stringify({ model_name: 's3::keyrestore', transition: { progression: 'manual', times: 1 } }),
  });
});

const run = {
  aheadSeconds: 0,
  signal: new AbortController().signal,
  leaveOnAbort: () => false,
  report: () => undefined,
  cursor: undefined,
  keep: () => undefined,
  name: 'test',
  atEnd: () => undefined,
};
const baseBackups = async (session: ClusterContext) =>
  (await currentBackups(session, run)).filter(({ engine }) => engine === 'basebackup');
const dumps = ['mairie_full_20251101_013000', 'mairie_full_20261101_013000'] as const;
const bases = ['full_20251101_023000', 'full_20261101_023000'] as const;
const print = { sizeBytes: 1, sha256: 'a'.repeat(64) };
const times = (label: string) => ({
  startedAt: `${label.slice(-15, -11)}-11-01T01:30:00.000Z`,
  finishedAt: `${label.slice(-15, -11)}-11-01T01:35:00.000Z`,
});

const dumpFacts = {
  globals: { ...print, passwords: true },
  server: { versionNum: 150000, systemIdentifier: '1' },
  toolMajor: 15,
  databaseSizeBytes: 1,
  properties: {
    ...{ owner: 'postgres', encoding: 'UTF8', collate: 'C', ctype: 'C', localeProvider: 'libc', icuLocale: null },
    ...{ collationVersion: null, connectionLimit: -1, tablespace: 'pg_default', settings: [], grants: null },
  },
  ...{ comment: null, extensions: [], extensionTables: [], tablespaces: [] },
  ...{ contents: [], countedIn: 'snapshot', objects: null },
};

const baseManifest = (label: string, segment = '0'): string => {
  const first = `${'0'.repeat(23)}${segment}`;
  return JSON.stringify({
    schemaVersion: 1,
    engine: 'basebackup',
    label,
    type: 'full',
    cluster: 'mairie',
    policy: 'base',
    operationId: 'earlier',
    ...times(label),
    databaseBytes: 1,
    segmentBytes: 16_777_216,
    files: [{ name: 'base.tar.gz', ...print }],
    wal: { start: first, stop: first },
    lsn: { start: '0/0', stop: '0/0' },
    server: { versionNum: 150000, systemIdentifier: '1' },
    dependsOn: [],
    contents: [],
  });
};

/** Two dumps and two base backups with their records, one of each a year old. */
async function yearOfBackups(bucket: string, keys = '') {
  // One that the test made is as it wants it.
  await moto.bucket(bucket).catch(() => undefined);
  const cluster =
    '    data_dir: /var/lib/postgresql/15/none\n    backups:\n      dump: { engine: logical, repository: offsite }\n      base: { engine: basebackup, repository: offsite, options: { wal: archive_command } }\n';
  const where = await storageSite({
    repositories: `  offsite: ${moto.repositoryYaml(bucket, keys)}`,
    catalogue: 'offsite',
    cluster,
  });
  const config = await loadConfig({ file: where.configFile, env: {} });
  const put = (Key: string, Body: string) => moto.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
  const { catalogue } = await openClusterContext(hostDependencies(config, 'db1'), 'mairie');
  for (const label of dumps) {
    await put(`mairie/dump/${label}.dump`, 'x');
    await put(`mairie/dump/${label}.sql`, 'x');
    await put(
      `mairie/dump/${label}.json`,
      JSON.stringify({
        schemaVersion: 1,
        engine: 'logical',
        label,
        cluster: 'mairie',
        policy: 'dump',
        operationId: 'earlier',
        database: 'mairie',
        ...times(label),
        dump: print,
        ...dumpFacts,
      }),
    );
    await catalogue.append(
      fact({
        kind: 'backup',
        backup: {
          id: `mairie:logical:${label}`,
          cluster: 'mairie',
          policy: 'dump',
          engine: 'logical',
          repository: 'offsite',
          type: 'full',
          ...times(label),
          sizeBytes: 1,
          label,
        },
      }),
    );
    await catalogue.append(
      fact({ kind: 'hold', backupId: `mairie:logical:${label}`, until: 'infinity', reason: 'kept' }),
    );
  }
  for (const label of bases) {
    await put(`mairie/base/${label}/base.tar.gz`, 'x');
    await put(`mairie/base/${label}/reprise.json`, baseManifest(label));
  }
  const freeze = (Key: string) =>
    moto.client.send(
      new CopyObjectCommand({
        Bucket: bucket,
        Key,
        CopySource: `${bucket}/${Key}`,
        StorageClass: 'DEEP_ARCHIVE',
        MetadataDirective: 'COPY',
      }),
    );
  return { where, config, put, freeze };
}

describe('F13: what tells of backups went to DEEP_ARCHIVE', () => {
  it('a manifest there makes its own backup cold, and hides no other; the way to thaw it is named', async () => {
    const { config, freeze } = await yearOfBackups('cold-manifests');
    await freeze(`mairie/dump/${dumps[0]}.json`);
    await freeze(`mairie/base/${bases[0]}/reprise.json`);
    const deps = hostDependencies(config, 'db1');
    const session = await openClusterContext(deps, 'mairie');
    const backups = await currentBackups(session, run);
    expect(backups.map(({ label, status, heldUntil }) => [label, status, heldUntil])).toEqual([
      [dumps[0], 'cold', 'infinity'],
      [bases[0], 'cold', null],
      [bases[1], 'complete', null],
      [dumps[1], 'complete', 'infinity'],
    ]);
    const storage = deps.openStorage(config.repositories['offsite']!, null);
    await expect(storage.read(`mairie/dump/${dumps[0]}.json`)).rejects.toMatchObject({
      code: 'object-cold',
      hint: expect.stringMatching(
        /aws s3api restore-object --endpoint-url http:\S+ --region \S+ --bucket cold-manifests --key 'mairie\/dump\/\S+\.json' --restore-request '\{"Days":7,/,
      ),
    });
  });

  it('a base backup there, its manifest still warm, is thawed with the WAL from its beginning on, and with nothing before', async () => {
    const { config, put, freeze } = await yearOfBackups('cold-base');
    const wal = (segment: number) => `mairie/base/wal/${'0'.repeat(23)}${segment}.gz`;
    const label = bases[0];
    await put(`mairie/base/${label}/reprise.json`, baseManifest(label, '2'));
    for (const segment of [1, 2, 3]) await put(wal(segment), 'xx');
    for (const key of [wal(1), wal(2), `mairie/base/${label}/base.tar.gz`]) await freeze(key);
    const deps = hostDependencies(config, 'db1');
    const session = await openClusterContext(deps, 'mairie');
    const policy = session.cluster.policies['base']!;
    expect((await baseBackups(session)).map(({ label: name, status }) => [name, status])).toEqual([
      [label, 'cold'],
      [bases[1], 'complete'],
    ]);
    expect(planThaw(await observeColdFiles(session, policy, [{ label }], run, 'op'), undefined)).toMatchObject({
      planned: { tier: 'Standard', days: 7 },
      observed: { objects: 2, bytes: 3, storageClasses: ['DEEP_ARCHIVE'] },
    });
    const storage = deps.openStorage(config.repositories['offsite']!, null);
    const keys = (await basebackupEngine.storedFiles?.(await readContext(session, policy, run, 'op'), label)) ?? [];
    await storage.requestThaw?.(keys, 'Standard', 7);
    for (let looks = 0; (await storage.coldObjects?.(keys))?.length !== 0; looks++)
      if (looks > 5) throw new Error('it is never thawed');
    expect(planThaw(await observeColdFiles(session, policy, [{ label }], run, 'op'), undefined)).toBeNull();
    expect(await storage.coldObjects?.([wal(1)])).toHaveLength(1);
  });

  it('F14: what an object lock keeps of a base backup is found also where its manifest is out of reach', async () => {
    await moto.bucket('locked-base', { locked: true });
    const { config, freeze } = await yearOfBackups('locked-base');
    const until = new Date(Date.now() + 3 * 86_400_000);
    await moto.client.send(
      new PutObjectCommand({
        Bucket: 'locked-base',
        Key: `mairie/base/${bases[0]}/base.tar.gz`,
        Body: 'x',
        ObjectLockMode: 'GOVERNANCE',
        ObjectLockRetainUntilDate: until,
      }),
    );
    await freeze(`mairie/base/${bases[0]}/reprise.json`);
    const session = await openClusterContext(hostDependencies(config, 'db1'), 'mairie');
    const policy = session.cluster.policies['base']!;
    const locks = await objectLocks(session, policy, await baseBackups(session), run);
    expect([...locks.keys()]).toEqual([`mairie:basebackup:${bases[0]}`]);
    expect(Math.abs(Date.parse([...locks.values()][0] ?? '') - until.getTime())).toBeLessThan(2_000);
  });

  it('a record there is named with the way to thaw it, stops no reader, writer or hold, and takes its place when it is thawed', async () => {
    const { config, freeze } = await yearOfBackups('cold-records');
    const first = 'mairie/records/00000001.json';
    await freeze(first);
    const deps = hostDependencies(config, 'db1');
    const session = await openClusterContext(deps, 'mairie');
    const { catalogue } = session;
    expect((await catalogue.records()).map(({ seq }) => seq)).toEqual([2, 3, 4]);
    expect(await catalogue.problems()).toEqual([
      { key: first, reason: 'it is in an archive class', hint: expect.stringContaining(`--key '${first}'`) },
    ]);
    // Its record is out of reach, and the hold on it counts all the same.
    expect((await currentBackups(session, run)).find(({ label }) => label === dumps[0])).toMatchObject({
      heldUntil: 'infinity',
      proven: null,
    });
    expect(await catalogue.append(fact({ kind: 'unpin' }))).toMatchObject({ seq: 5 });

    const storage = deps.openStorage(config.repositories['offsite']!, null);
    await storage.requestThaw?.([first], 'Bulk', 2);
    for (let looks = 0; (await storage.coldObjects?.([first]))?.length !== 0; looks++)
      if (looks > 5) throw new Error('it is never thawed');
    expect((await catalogue.records()).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(await catalogue.problems()).toEqual([]);
    expect((await catalogue.state()).backups.map(({ label, heldUntil }) => [label, heldUntil])).toEqual([
      [dumps[0], 'infinity'],
      [dumps[1], 'infinity'],
    ]);
    expect(await catalogue.append(fact({ kind: 'unpin' }))).toMatchObject({ seq: 6 });
  });

  it('P3: the plan names records and manifests that its lifecycle would take away, and those it spares it does not', async () => {
    const { where, put } = await yearOfBackups(
      'will-freeze',
      'lifecycle: { standard_ia_days: 90, deep_archive_days: 365 }',
    );
    const warnings = async () =>
      (await where.answer<'storage-plan'>({ kind: 'storage-plan', repository: 'offsite' })).plan.notes.filter(
        ({ text }) => text.includes('also moves records and manifests'),
      );
    expect(await warnings()).toEqual([]);
    await put('mairie/records/00000009.json', ' '.repeat(128 * 1024));
    await put('mairie/dump/just_small_enough.json', ' '.repeat(128 * 1024 - 1));
    await put('mairie/base/full_20261101_023000/reprise.json', ' '.repeat(200 * 1024));
    expect(await warnings()).toEqual([
      {
        level: 'warning',
        text: expect.stringMatching(
          /^rule "reprise\/": DEEP_ARCHIVE after 365 days .*: mairie\/base\/full_20261101_023000\/reprise\.json, mairie\/records\/00000009\.json$/,
        ),
        hint: expect.any(String),
      },
    ]);
  });
});
