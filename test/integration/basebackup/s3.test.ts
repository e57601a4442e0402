import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { planRotation } from '../../../src/activities/backup/rotate.js';
import type { ActivityRun } from '../../../src/activities/activity-wrapper.js';
import { type ClusterContext, record } from '../../../src/activities/cluster-context.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { spoolOf } from '../../../src/engines/basebackup/repository/names.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { openCatalogue } from '../../../src/records/catalogue.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { openS3 } from '../../../src/storage/s3/s3-storage.js';
import { asBackup } from '../../contract/engine-suite.js';
import { startReceivedCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { runQuery } from '../../helpers/postgres.js';
import { startReceiver } from '../../helpers/receiver.js';
import { startVersity } from '../../helpers/s3-servers.js';
import { bound } from '../../helpers/bound.js';

failOnLeakedProcesses();

let source: BaseCluster;
let backup: Backup;
let operations = 0;
const newContext = (): Promise<EngineContext> => source.context(`s3 ${operations++}`);
const latest = async (context: EngineContext) =>
  engine.outlineRecovery(context, {
    target: { kind: 'latest' },
    candidates: [backup],
    oldDataDir: null,
    databases: [],
  });

beforeAll(async () => {
  const server = await startVersity();
  const bucket = await server.bucket('base');
  source = await startReceivedCluster({}, ['mairie'], () =>
    openS3(readS3Options(server.options(bucket)), resolveSecret),
  );
  startReceiver(await newContext());
  for (let ready = false; !ready; await sleep(50))
    ready =
      (await runQuery(source.cluster, 'postgres', 'SELECT FROM pg_replication_slots WHERE active')).rowCount === 1;
  const context = await newContext();
  await engine.preflightBackup(context);
  const [made] = await engine.backup(context, { type: 'full', startedAt: new Date().toISOString() });
  backup = asBackup(made as never);
  await runQuery(
    source.cluster,
    'postgres',
    'CREATE TABLE rdv AS SELECT generate_series(1, 1000) AS n; SELECT pg_switch_wal()',
  );
});

describe('K8: base backups and received WAL in a bucket (VersityGW, TLS)', () => {
  it('lists and verifies what is there', async () => {
    expect(await engine.list(await newContext())).toMatchObject([{ label: backup.label, sizeBytes: backup.sizeBytes }]);
    expect(await engine.verify(await newContext(), backup)).toMatchObject({ ok: true });
  });

  it('K2: recovers to the end, the WAL brought beside the files while the server replays', async () => {
    const lsn = String(
      (
        (await runQuery(source.cluster, 'postgres', 'SELECT pg_current_wal_flush_lsn() AS lsn')).rows[0] as {
          lsn: string;
        }
      ).lsn,
    );
    const context = await newContext();
    let outline = await latest(context);
    for (; (outline.walEnd ?? '') < lsn; outline = await latest(context)) await sleep(200);
    const recovered = await recoverBeside(context, outline, { engine });
    expect((await runQuery(recovered, 'postgres', 'SELECT count(*)::int AS n FROM rdv')).rows).toEqual([{ n: 1000 }]);
    expect(engine.physical?.restoreCommand(context)).toMatch(/^\/bin\/sh -c .*ln .* wal-wait %f "%p"$/);
    expect(await readdir(join(recovered.dataDir, 'reprise_wal'))).toContain(backup.wal?.start);
    // What was only on its way through this host is gone.
    await expect(readdir(spoolOf(context))).rejects.toMatchObject({ code: 'ENOENT' });
    await recovered.remove();
  });

  it('F15: an archive that is another one is told before anything is unpacked', async () => {
    const context = await newContext();
    const key = `mairie/nightly/${backup.label}/base.tar.gz`;
    const whole = await context.storage.read(key);
    const flipped = Buffer.from(whole);
    flipped.writeUInt8(flipped.readUInt8(9000) ^ 1, 9000);
    await context.storage.write(key, flipped);
    const dataDir = join(source.ground.stateDir, 'damaged');
    const approved = await bound(engine, context, backup);
    await expect(
      engine.physical?.restoreFiles(context, { ...approved, dataDir, tablespaceDir: `${dataDir}.spaces` }),
    ).rejects.toMatchObject({ code: 'backup-corrupt' });
    await expect(readdir(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await engine.verify(await newContext(), backup)).toMatchObject({ ok: false });
    await context.storage.write(key, whole);
    await rm(spoolOf(context), { recursive: true, force: true });
  });

  it('an archive_command is refused, with what to use instead', async () => {
    const policy = { ...source.ground.policy, options: { ...source.options, wal: 'archive_command' } };
    await expect(
      source.context('refused', { policy }).then((context) => engine.preflightBackup(context)),
    ).rejects.toMatchObject({ code: 'capability-missing', hint: expect.stringContaining('receivewal') as unknown });
  });

  it('B3, F15: backups whose manifest is damaged or of another cluster are rotated away with the others', async () => {
    const context = await newContext();
    const { host, user, storage, policy, cluster } = context;
    const catalogue = openCatalogue(storage, cluster.name);
    const deps = {
      openStorage: () => storage,
      engineOf: () => engine,
      postgresBin: async () => source.cluster.binDir,
      config: { repositories: { [policy.repository]: {} } },
    };
    const session = {
      cluster: {
        ...cluster,
        policies: { nightly: { ...policy, retention: { days: 7, minProven: 1, maxDeletions: 10 } } },
      },
      host,
      user,
      catalogue,
      deps,
    } as unknown as ClusterContext;
    const whole = await storage.read(`mairie/nightly/${backup.label}/reprise.json`);
    const old = ['full_20250101_000000', 'full_20250102_000000'];
    await storage.write(`mairie/nightly/${old[0]}/reprise.json`, whole.subarray(0, 100));
    await storage.write(
      `mairie/nightly/${old[1]}/reprise.json`,
      whole.toString().replace('"cluster": "mairie"', '"cluster": "ecole"'),
    );
    for (const label of old) await storage.write(`mairie/nightly/${label}/base.tar.gz`, 'something');
    const step = { operationId: 'rotation' };
    await record(session, step, 'made', { kind: 'backup', backup });
    await record(session, step, 'proven', {
      kind: 'proof',
      backupId: backup.id,
      proof: { level: 'restored', at: new Date().toISOString() },
      detail: 'read',
    });
    for (const label of old) {
      const startedAt = `${label.slice(5, 9)}-${label.slice(9, 11)}-${label.slice(11, 13)}T00:00:00.000Z`;
      await record(session, step, label, {
        kind: 'backup',
        backup: { ...backup, id: backup.id.replace(backup.label, label), label, startedAt, finishedAt: startedAt },
      });
    }
    const run: ActivityRun = {
      aheadSeconds: 0,
      signal: context.signal,
      leaveOnAbort: () => false,
      report: () => undefined,
      cursor: undefined,
      keep: () => undefined,
      name: 'test',
      atEnd: () => undefined,
    };
    const { remove } = await planRotation(session, 'nightly', run);
    expect(remove.map(({ id }) => id.slice(-20)).toSorted()).toEqual(old);
    await engine.remove(context, old);
    expect((await engine.list(context)).map(({ label }) => label)).toEqual([backup.label]);
  });

  it('B3: what is removed is gone', async () => {
    const context = await newContext();
    await engine.remove(context, [backup.label]);
    expect(await engine.list(context)).toEqual([]);
  });
});
