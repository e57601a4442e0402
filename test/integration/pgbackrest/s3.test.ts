import { chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { pgbackrestEngine as engine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { asBackup } from '../../contract/engine-suite.js';
import { filesBelow } from '../../helpers/canary.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { STANZA, startBackrestCluster } from '../../helpers/pgbackrest.js';
import type { BackrestCluster } from '../../helpers/pgbackrest.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { RecoveryHistory } from '../../helpers/recovery-history.js';
import { startVersity } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { tempDir } from '../../helpers/temp.js';
import { startBadNetwork } from '../../helpers/toxiproxy.js';
import type { BadNetwork } from '../../helpers/toxiproxy.js';
import { until } from '../../helpers/until.js';
import { closeSegment } from '../../helpers/wal-segment.js';

failOnLeakedProcesses();

let s3: S3Server;
let network: BadNetwork;
let source: BackrestCluster;
let ground: Ground;
let history: RecoveryHistory;
let operations = 0;

beforeAll(async () => {
  s3 = await startVersity();
  network = await startBadNetwork(s3.port);
  const bucket = await s3.bucket('asso-prod-backups');
  const ca = s3.caFile ?? '';
  // PostgreSQL's user runs pgBackRest.
  await chmod(dirname(ca), 0o755);
  await chmod(ca, 0o644);
  source = await startBackrestCluster({}, [
    ...[
      'repo1-type=s3',
      'repo1-path=/postgres',
      'repo1-s3-uri-style=path',
      'repo1-s3-region=us-east-1',
      `repo1-s3-bucket=${bucket}`,
    ],
    ...[`repo1-s3-endpoint=localhost:${network.port}`, `repo1-storage-ca-file=${ca}`],
    ...[`repo1-s3-key=${s3.accessKeyId}`, `repo1-s3-key-secret=${s3.secretAccessKey}`],
    // A backup of a thousand small files is a thousand requests: bundled, it is a few. Patience with a server that is down.
    ...['repo1-bundle=y', 'io-timeout=5'],
  ]);
  ground = await makeGround(source.cluster, 'pgbackrest', source.options, { databases: ['postgres'] });
  history = new RecoveryHistory({ engine, server: source.cluster, context: ground.context });
});

const newContext = (): Promise<EngineContext> => ground.context(`operation ${operations++}`);
const backUp = async (context: EngineContext): Promise<Backup> => {
  const [made] = await engine.backup(context, { type: 'full', startedAt: new Date().toISOString() });
  if (made === undefined) throw new Error('no backup was made');
  return asBackup(made);
};
const labels = async (): Promise<string[]> => (await engine.list(await newContext())).map(({ label }) => label);
const keysOf = async (label: string): Promise<number> =>
  (
    await s3.client.send(
      new ListObjectsV2Command({ Bucket: 'asso-prod-backups', Prefix: `postgres/backup/${STANZA}/${label}/` }),
    )
  ).KeyCount ?? 0;

/** Of every pgbackrest of this cluster that runs now: whether its arguments or its environment hold the secret. */
async function exposures(): Promise<boolean[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const argv = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
      if (!/(?:^|\/)pgbackrest\0/.test(argv) || !argv.includes(source.config)) return [];
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
      return [`${argv}${environment}`.includes(s3.secretAccessKey)];
    }),
  );
  return found.flat();
}

describe('P1 on S3, with TLS and the settings of pgbackrest.conf', () => {
  it('P1, K2: backs up, lists, verifies, and recovers to a point', async () => {
    await history.begin();
    for (const name of ['first', 'second']) {
      await history.commit(name);
      await history.archive();
    }
    expect(await labels()).toEqual([history.backup.label]);
    expect(await engine.verify(await newContext(), history.backup)).toMatchObject({ ok: true });
    const { time, content } = history.point('first');
    expect(await history.recoveredContent({ kind: 'time', time })).toBe(content);
  });

  it('F39: the secret of the bucket is in no argument, environment or file but pgbackrest.conf', async () => {
    await writeFile(source.holdFile, '');
    const context = await newContext();
    const making = backUp(context);
    making.catch(() => undefined);
    // The backup's own, and the archiver's beside it.
    let seen: boolean[] = [];
    await until(async () => (seen = await exposures()).length > 0, 'pgbackrest works');
    expect(seen).not.toContain(true);
    await rm(source.holdFile);
    await making;
    expect(
      (await filesBelow(ground.stateDir, /^$/))
        .filter(([, text]) => text.includes(s3.secretAccessKey))
        .map(([path]) => path),
    ).toEqual([]);
  });

  it('B3: what retention lets go leaves the bucket, with the WAL that nobody needs any more', async () => {
    const [old = '', ...newer] = await labels();
    expect(newer).toHaveLength(1);
    expect(await keysOf(old)).toBeGreaterThan(0);
    const plan = await engine.planRemoval(await newContext(), [old]);
    expect(plan).toEqual({ labels: [old], alsoRemoves: [expect.stringMatching(/WAL segments/)] });
    await engine.remove(await newContext(), plan.labels);
    expect(await labels()).toEqual(newer);
    expect(await keysOf(old)).toBe(0);
  });
});

describe('F10-F12: the bucket cannot be used', () => {
  it('F10: a server that does not answer is told as that and tried again; when it is back, so is everything', async () => {
    const before = await labels();
    const context = await newContext();
    await network.enable(false);
    await expect(backUp(context)).rejects.toMatchObject({
      code: 'storage-unreachable',
      hint: expect.stringContaining('repo1-*'),
    });
    await network.enable(true);
    // After three failures the archiver waits for a minute, or for the next segment.
    await closeSegment(source.cluster);
    const made = await backUp(context);
    expect(await labels()).toEqual([...before, made.label]);
    expect(await engine.verify(await newContext(), made)).toMatchObject({ ok: true });
  });

  it('F12: refused credentials are final, and the hint names what to renew', async () => {
    const before = await labels();
    const context = await newContext();
    const config = join(await tempDir('refused'), 'pgbackrest.conf');
    await writeFile(
      config,
      (await readFile(source.config, 'utf8')).replace(/repo1-s3-key-secret=.*/, 'repo1-s3-key-secret=expired'),
      { mode: 0o600 },
    );
    await giveToPostgres(config);
    const refused = { ...context, policy: { ...context.policy, options: { ...source.options, config } } };
    const expected = {
      code: 'storage-refused',
      message: expect.stringMatching(/refuses the credentials.*SignatureDoesNotMatch/),
      hint: expect.stringContaining('repo1-s3-key-secret'),
    };
    await expect(engine.preflightBackup(refused)).rejects.toMatchObject(expected);
    await expect(backUp(refused)).rejects.toMatchObject(expected);
    expect(await labels()).toEqual(before);
    // Its archiver would wait for the bucket.
    await source.cluster.stop('immediate');
  });
});
