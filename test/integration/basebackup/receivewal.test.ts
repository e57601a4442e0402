import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { firstCommitAfter } from '../../../src/postgres/wal/unarchived-commit.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { asBackup } from '../../contract/engine-suite.js';
import { startReceivedCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { runQuery } from '../../helpers/postgres.js';
import { startReceiver } from '../../helpers/receiver.js';
import type { Receiver } from '../../helpers/receiver.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

let source: BaseCluster;
let receiver: Receiver;
let backup: Backup;
let operations = 0;

const newContext = (): Promise<EngineContext> => source.context(`receivewal ${operations++}`);
const one = async (sql: string): Promise<string> =>
  String(Object.values((await runQuery(source.cluster, 'postgres', sql)).rows[0] as object)[0]);
const receivers = async (): Promise<number[]> =>
  (await readJobs(source.ground.stateDir, 'archive/mairie/nightly')).flatMap(({ pid, state }) =>
    state === 'running' && pid !== null ? [pid] : [],
  );
/** Whether what is committed now can be reached from the repository alone. */
async function reaches(lsn: string): Promise<boolean> {
  const outlined = engine.outlineRecovery(await newContext(), {
    target: { kind: 'lsn', lsn },
    candidates: [backup],
    oldDataDir: null,
    databases: [],
  });
  return outlined.then(
    () => true,
    () => false,
  );
}

beforeAll(async () => {
  source = await startReceivedCluster();
  await runQuery(source.cluster, 'postgres', 'CREATE TABLE rdv (n int)');
});

describe('K8: WAL by pg_receivewal', () => {
  it('without a receiver a backup is refused before it begins, with what to start', async () => {
    const refused = { code: 'wal-not-archived', hint: expect.stringContaining('archive/mairie/nightly') as unknown };
    await expect(engine.preflightBackup(await newContext())).rejects.toMatchObject(refused);
    receiver = startReceiver(await newContext());
    await until(
      async () => (await one('SELECT count(*) FROM pg_replication_slots WHERE active')) === '1',
      'the slot is in use',
    );
    await engine.preflightBackup(await newContext());
    const [made] = await engine.backup(await newContext(), { type: 'full', startedAt: new Date().toISOString() });
    backup = asBackup(made as never);
    expect(await engine.verify(await newContext(), backup)).toMatchObject({ ok: true });
  });

  it('of a segment that is not full its beginning is there after seconds, and recovery goes to its end', async () => {
    await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv VALUES (1), (2), (3)');
    const lsn = await one('SELECT pg_current_wal_flush_lsn()');
    await until(() => reaches(lsn), 'the repository reaches the position');
    expect((await readdir(source.walDirectory)).filter((name) => name.endsWith('.partial.gz'))).toHaveLength(1);
    const context = await newContext();
    const outline = await engine.outlineRecovery(context, {
      target: { kind: 'latest' },
      candidates: [backup],
      oldDataDir: null,
      databases: [],
    });
    const recovered = await recoverBeside(context, outline, { engine });
    expect((await runQuery(recovered, 'postgres', 'SELECT count(*)::int AS n FROM rdv')).rows).toEqual([{ n: 3 }]);
    await recovered.remove();
  });

  it('F1: a worker that dies leaves it running, and the next one goes on with it', async () => {
    const [pid] = await receivers();
    await receiver.leave();
    expect(await receivers()).toEqual([pid]);
    const segment = await one("SELECT pg_walfile_name(pg_switch_wal()) FROM pg_create_restore_point('x')");
    receiver = startReceiver(await newContext());
    await until(async () => (await readdir(source.walDirectory)).includes(`${segment}.gz`), 'the segment is stored');
    expect(await receivers()).toEqual([pid]);
    // The whole segment has taken the place of its beginning.
    await until(
      async () => !(await readdir(source.walDirectory)).includes(`${segment}.partial.gz`),
      'its beginning is gone',
    );
  });

  it('F3: one that is killed is started again, and nothing is missing', async () => {
    const [pid] = await receivers();
    process.kill(pid ?? 0, 'SIGKILL');
    await runQuery(
      source.cluster,
      'postgres',
      "INSERT INTO rdv VALUES (4); SELECT pg_create_restore_point('x'), pg_switch_wal()",
    );
    await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv VALUES (5)');
    const lsn = await one('SELECT pg_current_wal_flush_lsn()');
    await until(() => reaches(lsn), 'the repository reaches the position');
    expect(await receivers()).not.toContain(pid);
  });

  it('with another role in the config the one that runs is ended and another started with it, and nothing is missing', async () => {
    const [pid] = await receivers();
    await receiver.leave();
    await runQuery(
      source.cluster,
      'postgres',
      'CREATE ROLE other SUPERUSER LOGIN REPLICATION; INSERT INTO rdv VALUES (51)',
    );
    const context = await newContext();
    receiver = startReceiver({
      ...context,
      cluster: { ...context.cluster, connection: { ...context.cluster.connection, user: 'other' } },
    });
    await until(
      async () =>
        (await one("SELECT count(*) FROM pg_stat_replication WHERE usename = 'other' AND state = 'streaming'")) === '1',
      'the other role receives',
    );
    expect(await one('SELECT count(*) FROM pg_stat_replication')).toBe('1');
    expect(await receivers()).toEqual([expect.any(Number)]);
    expect(await receivers()).not.toContain(pid);
    await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv VALUES (52)');
    const lsn = await one('SELECT pg_current_wal_flush_lsn()');
    await until(() => reaches(lsn), 'the repository reaches the position');
    await receiver.leave();
    receiver = startReceiver(await newContext());
    await until(
      async () =>
        (await one("SELECT count(*) FROM pg_stat_replication WHERE usename <> 'other' AND state = 'streaming'")) ===
        '1',
      'its own role receives',
    );
  });

  it('F12: WAL that the repository does not take is told, while its program goes on; once it is taken nobody waits any more', async () => {
    const end = async () => {
      const { walEnd } = await engine.outlineRecovery(await newContext(), {
        target: { kind: 'latest' },
        candidates: [backup],
        oldDataDir: null,
        databases: [],
      });
      return { timeline: 1, endLsn: walEnd ?? '' };
    };
    const { pgBin, user } = await newContext();
    const firstAfter = (archived: Awaited<ReturnType<typeof end>>) =>
      firstCommitAfter(pgBin, join(source.cluster.dataDir, 'pg_wal'), archived, user);
    // Once all is archived nothing waits, however old the archive grows. The server itself may commit something now and then.
    await until(async () => (await firstAfter(await end())) === null, 'nothing waits');
    const archived = await end();
    await receiver.leave();
    const [pid] = await receivers();
    const receive = async (known?: { waits: boolean }) =>
      engine.receiver?.receive(await source.context('archive/mairie/nightly'), known);

    const segment = await one("SELECT pg_walfile_name(pg_current_wal_insert_lsn()) FROM pg_create_restore_point('x')");
    const strange = join(source.walDirectory, `${segment}.gz`);
    await writeFile(strange, gzipSync("another cluster's"));
    const before = new Date().toISOString();
    await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv VALUES (41); SELECT pg_switch_wal()');
    const told = {
      code: 'wal-not-archived',
      message: expect.stringContaining(segment) as unknown,
      hint: expect.stringContaining('separate policy') as unknown,
    };
    await expect(receive()).rejects.toMatchObject(told);
    expect(await receivers()).toEqual([pid]);
    expect(((await firstAfter(archived)) ?? '') > before).toBe(true);

    const stored = receive({ waits: true });
    await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv VALUES (42)');
    await rm(strange);
    await stored;
    expect(await receivers()).toEqual([pid]);
    receiver = startReceiver(await newContext());
    await until(async () => (await firstAfter(await end())) === null, 'nothing waits');
  });

  it('F23: a slot whose WAL the server threw away is made anew, and the gap is told by the plan', async () => {
    await receiver.cancel();
    expect(await receivers()).toEqual([]);
    // The server may take a moment to see that its client is gone.
    await until(
      async () => (await one('SELECT count(*) FROM pg_replication_slots WHERE active')) === '0',
      'the slot is free',
    );
    const missed = await one("SELECT pg_walfile_name(pg_switch_wal()) FROM pg_create_restore_point('x')");
    await runQuery(
      source.cluster,
      'postgres',
      "SELECT pg_drop_replication_slot('reprise_mairie_nightly'); INSERT INTO rdv VALUES (6); SELECT pg_switch_wal();",
    );
    await runQuery(source.cluster, 'postgres', 'CHECKPOINT');
    receiver = startReceiver(await newContext());
    await until(
      async () => (await one('SELECT count(*) FROM pg_replication_slots WHERE active')) === '1',
      'the slot is in use',
    );
    await engine.preflightBackup(await newContext());
    const outlined = engine.outlineRecovery(await newContext(), {
      target: { kind: 'latest' },
      candidates: [backup],
      oldDataDir: null,
      databases: [],
    });
    await expect(outlined).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringContaining(missed.slice(0, 20)) as unknown,
    });
    const [made] = await engine.backup(await newContext(), { type: 'full', startedAt: new Date().toISOString() });
    await expect(
      engine.outlineRecovery(await newContext(), {
        target: { kind: 'latest' },
        candidates: [asBackup(made as never), backup],
        oldDataDir: null,
        databases: [],
      }),
    ).resolves.toMatchObject({ timeline: 1 });
  });
});
