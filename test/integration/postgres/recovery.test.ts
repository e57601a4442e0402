import { beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, open, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { compareLsn, isSegmentName, nextSegment, segmentEnd, segmentStart } from '../../../src/domain/target/wal.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { inspectDataDir } from '../../../src/postgres/server/data-directory.js';
import {
  configureRecovery,
  promoteServer,
  resetRecoverySettings,
  recoverToTarget,
} from '../../../src/postgres/recovery/recovery.js';
import { rearmArchiving } from '../../../src/postgres/wal/archiving.js';
import { recoveryProgress } from '../../../src/postgres/recovery/recovery-progress.js';
import { waitForEndOfWal, waitForPause } from '../../../src/postgres/recovery/recovery-wait.js';
import { inspectSalvage, salvageWal } from '../../../src/postgres/wal/salvage.js';
import type { Salvage } from '../../../src/postgres/wal/salvage.js';
import { startScratchServer } from '../../../src/postgres/server/scratch-cluster.js';
import { withoutNetwork } from '../../../src/process/exec/without-network.js';
import { serverFacts } from '../../../src/postgres/server/server-facts.js';
import { walTail } from '../../../src/postgres/wal/read-wal.js';
import { usedBytes } from '../../../src/postgres/server/disk.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { startScratchCluster } from '../../helpers/postgres.js';
import { RecoveryLab } from '../../helpers/recovery-lab.js';
import { tempDir } from '../../helpers/temp.js';
import { closeSegment } from '../../helpers/wal-segment.js';

const run = promisify(execFile);

/** A cluster that was killed while it committed, its tables gone, its pg_wal readable; and what its client knows. */
let lab: RecoveryLab;
let salvage: Salvage;
let archivedUpTo: string;
let salvageDir: string;
/** Taken between two commits: time, LSN and restore point. */
let middle: { time: string; lsn: string; rows: number };
let named: { rows: number };
let systemIdentifier: string;

beforeAll(async () => {
  lab = await RecoveryLab.create();
  salvageDir = join(lab.root, 'salvage');
  systemIdentifier = (await withClient(lab.connection(), 'postgres', serverFacts)).systemIdentifier;
  await lab.commitRows(200);
  const { rows } = await lab.query(
    `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time, pg_current_wal_lsn()::text AS lsn`,
  );
  middle = { time: String(rows[0]?.['time']), lsn: String(rows[0]?.['lsn']), rows: 200 };
  await lab.commitRows(100);
  await lab.query("SELECT pg_create_restore_point('avant l''incident')");
  named = { rows: 300 };
  await lab.archiveSegment();
  await lab.commitRows(100);
  archivedUpTo = await lab.archiveSegment();
  // From here on nothing is archived: a whole segment and a begun one.
  await lab.cluster.configure({ archive_command: 'false' });
  await lab.query('SELECT pg_reload_conf()');
  await lab.commitRows(100);
  await closeSegment(lab.cluster);
  await lab.commitRows(50);
  const committing = lab.commitRows(1_000_000);
  while (lab.commits.length < 700) await new Promise((resolve) => setTimeout(resolve, 5));
  await lab.cluster.kill();
  await committing;
  for (const gone of ['base', 'global']) await rm(join(lab.cluster.dataDir, gone), { recursive: true });
});

describe('an instance lost in mid commits', () => {
  it('is seen as damaged with readable WAL, and its WAL is copied up to the last record (salvage)', async () => {
    const { dataDir } = lab.cluster;
    expect(await inspectDataDir(lab.pgBin, dataDir, lab.user)).toMatchObject({ state: 'damaged', walReadable: true });
    const before = await readdir(join(dataDir, 'pg_wal'));
    const request = { oldDataDir: dataDir, archivedUpTo, systemIdentifier, pgBin: lab.pgBin, user: lab.user };
    const planned = await inspectSalvage(request);
    expect(existsSync(salvageDir)).toBe(false);
    salvage = await salvageWal({ ...request, toDir: salvageDir });
    expect(salvage).toEqual(planned);
    expect(salvage.segments.length).toBeGreaterThanOrEqual(2);
    expect(salvage.segments.every((name) => name > archivedUpTo)).toBe(true);
    expect(salvage.missing).toEqual([]);
    // Repeated, it copies nothing again.
    const first = await stat(join(salvageDir, salvage.segments[0] as string));
    await salvageWal({ ...request, toDir: salvageDir });
    expect((await stat(join(salvageDir, salvage.segments[0] as string))).mtimeMs).toBe(first.mtimeMs);
    expect(first.mode & 0o777).toBe(0o600);
    expect(await readdir(join(dataDir, 'pg_wal'))).toEqual(before);
  });

  it('where the old data is lost, every written segment is kept, also those behind one that cannot be read', async () => {
    const root = await tempDir('harmed');
    const dataDir = join(root, 'data');
    await cp(join(lab.cluster.dataDir, 'pg_wal'), join(dataDir, 'pg_wal'), { recursive: true });
    const written = salvage.segments;
    const file = await open(join(dataDir, 'pg_wal', written[0] as string), 'r+');
    await file.write(Buffer.alloc(64 * 1024), 0, 64 * 1024, 8192);
    await file.close();
    const request = { oldDataDir: dataDir, archivedUpTo: null, pgBin: lab.pgBin, user: null };
    const [some, all] = [join(root, 'some'), join(root, 'all')];
    await salvageWal({ ...request, toDir: some });
    await salvageWal({ ...request, toDir: all, everything: true });
    expect(await readdir(all)).toEqual(expect.arrayContaining([...written]));
    expect(await readdir(some).catch(() => [])).not.toContain(written.at(-1));
  });

  it('ends where its client says: no acknowledged commit is beyond the WAL, and none after it was ever sent', () => {
    const last = lab.commits.find(({ xid }) => xid === salvage.lastCommitXid);
    const acknowledged = lab.commits.filter((commit) => commit.acknowledged).at(-1);
    expect(last?.n).toBeGreaterThanOrEqual(acknowledged?.n ?? Infinity);
    expect(salvage.lastCommitAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
  });

  it('F17: WAL of another cluster is refused', async () => {
    const request = {
      oldDataDir: lab.cluster.dataDir,
      archivedUpTo,
      systemIdentifier: '1',
      pgBin: lab.pgBin,
      user: lab.user,
    };
    await expect(inspectSalvage(request)).rejects.toMatchObject({ code: 'identity-mismatch' });
  });

  it('recycled segments with future names, and cut ones, are not offered', async () => {
    const old = join(lab.root, 'recycled');
    await mkdir(join(old, 'pg_wal'), { recursive: true });
    const source = join(lab.cluster.dataDir, 'pg_wal');
    for (const name of salvage.segments) await copyFile(join(source, name), join(old, 'pg_wal', name));
    const last = salvage.segments.at(-1) as string;
    await copyFile(join(source, salvage.segments[0] as string), join(old, 'pg_wal', nextSegment(last)));
    await writeFile(join(old, 'pg_wal', nextSegment(nextSegment(last))), Buffer.alloc(16 * 1024 * 1024));
    const request = { oldDataDir: old, archivedUpTo, systemIdentifier, pgBin: lab.pgBin, user: null };
    expect(await inspectSalvage(request)).toEqual(salvage);
    await truncate(join(old, 'pg_wal', last), 1024 * 1024);
    const cut = await inspectSalvage(request);
    expect(cut.segments).toEqual(salvage.segments.slice(0, -1));
    expect(cut.endLsn).toBe(segmentStart(last));
    // Behind a hole nothing is offered, good as it may be.
    await copyFile(join(source, last), join(old, 'pg_wal', last));
    for (const name of (await readdir(lab.archive)).filter(isSegmentName))
      await copyFile(join(lab.archive, name), join(old, 'pg_wal', name));
    await truncate(join(old, 'pg_wal', salvage.segments[0] as string), 1024);
    const broken = await inspectSalvage({ ...request, archivedUpTo: null });
    expect([broken.segments.at(-1), broken.endLsn]).toEqual([archivedUpTo, segmentEnd(archivedUpTo)]);
  });

  it('whole segments end where their last one does', async () => {
    const first = (await readdir(lab.archive)).sort()[0] as string;
    const tail = await walTail(lab.pgBin, lab.archive, first, lab.user);
    expect(tail.endLsn).toBe(segmentEnd(archivedUpTo));
    expect(tail.lastCommitXid).toBe(lab.commits[399]?.xid);
    await expect(walTail(lab.pgBin, lab.archive, nextSegment(archivedUpTo), lab.user)).rejects.toMatchObject({
      code: 'wal-gap',
    });
  });

  it('the end of a segment that a switch left nearly empty is found by halves of it, not window by window', async () => {
    const last = (await readdir(lab.archive)).filter(isSegmentName).sort().at(-1) as string;
    const [pgBin, calls] = [await tempDir('counting'), join(await tempDir('counted'), 'calls')];
    await writeFile(join(pgBin, 'pg_waldump'), `#!/bin/sh\necho >>'${calls}'\nexec '${lab.pgBin}/pg_waldump' "$@"\n`, {
      mode: 0o755,
    });
    expect(await walTail(pgBin, lab.archive, last, null)).toEqual(
      await walTail(lab.pgBin, lab.archive, last, lab.user),
    );
    // 16 MB are 64 windows.
    expect((await readFile(calls, 'utf8')).length).toBeLessThan(20);
  });

  it('a hole between archive and old pg_wal is named (F23)', async () => {
    const earlier = archivedUpTo.replace(/.$/, '1');
    const name = (n: number): string => join(lab.cluster.dataDir, 'pg_wal', archivedUpTo.replace(/.$/, String(n)));
    const last = Number(archivedUpTo.slice(-1));
    for (let n = 2; n <= last; n++) if (existsSync(name(n))) await rm(name(n));
    const request = {
      oldDataDir: lab.cluster.dataDir,
      archivedUpTo: earlier,
      systemIdentifier,
      pgBin: lab.pgBin,
      user: lab.user,
    };
    expect((await inspectSalvage(request)).missing).toEqual(
      Array.from({ length: last - 1 }, (_, i) => archivedUpTo.replace(/.$/, String(i + 2))),
    );
  });
});

describe('recovery to latest', () => {
  it('replays archive and salvage to the last record, is promoted without losing a row, and archives again only when re-armed', async () => {
    const { dataDir, port, connection, service } = await lab.restore('latest');
    const request = {
      dataDir,
      user: lab.user,
      target: { kind: 'latest' },
      restoreCommand: lab.restoreCommand,
      salvageDir,
      timeline: 'latest',
      port,
    } as const;
    await configureRecovery(request);
    const once = await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8');
    await configureRecovery(request);
    expect(await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8')).toBe(once);
    expect(existsSync(join(dataDir, 'recovery.signal'))).toBe(false);
    await service.start();
    await service.start();
    const seen: string[] = [];
    const reached = await waitForEndOfWal(connection, salvage.endLsn, {
      service,
      report: ({ replayLsn }) => seen.push(replayLsn ?? ''),
    });
    expect(reached.replayLsn).toBe(salvage.endLsn);
    expect(reached.lastReplayedCommitAt).toBe(salvage.lastCommitAt);
    expect(seen.length).toBeGreaterThan(0);
    await expect(configureRecovery(request)).rejects.toMatchObject({ code: 'conflict' });

    expect(await promoteServer(connection)).toEqual({ timeline: 2, promotedNow: true });
    expect(await promoteServer(connection)).toEqual({ timeline: 2, promotedNow: false });
    const { rows } = await lab.query('SELECT count(*)::int AS rows, max(n) AS last FROM events', port);
    const last = lab.commits.find(({ xid }) => xid === salvage.lastCommitXid)?.n;
    expect(rows[0]).toEqual({ rows: last, last });

    await resetRecoverySettings(dataDir, lab.user);
    await service.reload();
    const auto = await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8');
    expect(auto).not.toMatch(/restore_command|recovery_target|max_connections/);
    const facts = await withClient(connection, 'postgres', serverFacts);
    expect(facts).toMatchObject({ archiveMode: 'on', archiveCommand: '', inRecovery: false, systemIdentifier });
    const archived = await readdir(lab.archive);
    const segment = await rearmArchiving(connection, `cp %p '${lab.archive}/%f'`);
    expect(segment.slice(0, 8)).toBe('00000002');
    expect(archived).not.toContain(segment);
    expect(await readdir(lab.archive)).toEqual(expect.arrayContaining([segment, '00000002.history']));
    await expect(rearmArchiving(connection, 'false', { timeoutSeconds: 1 })).rejects.toMatchObject({
      code: 'wal-not-archived',
    });
    await service.stop('fast');
    expect(await service.status()).toBe('stopped');
    // Later recoveries of this file go along the first timeline only.
    for (const name of await readdir(lab.archive)) if (name.startsWith('00000002')) await rm(join(lab.archive, name));
  });

  it('F23: a segment missing in the middle is an error and no short recovery', async () => {
    const { dataDir, port, connection, service } = await lab.restore('gap');
    const hidden = join(salvageDir, salvage.segments[0] as string);
    await rename(hidden, `${hidden}.hidden`);
    try {
      await configureRecovery({
        dataDir,
        user: lab.user,
        target: { kind: 'latest' },
        restoreCommand: lab.restoreCommand,
        salvageDir,
        timeline: 'latest',
        port,
      });
      await service.start();
      const waiting = waitForEndOfWal(connection, salvage.endLsn, { service, pollMs: 200 });
      await expect(waiting).rejects.toMatchObject({
        code: 'target-not-reached',
        message: expect.stringContaining(salvage.endLsn ?? ''),
      });
      expect((await recoveryProgress(connection)).inRecovery).toBe(true);
      const settled = await waitForEndOfWal(connection, null, { service, pollMs: 200 });
      expect(compareLsn(settled.replayLsn ?? '0/0', salvage.endLsn ?? '0/0')).toBeLessThan(0);
    } finally {
      await rename(`${hidden}.hidden`, hidden);
    }
    await service.stop('immediate');
  });
});

describe('recovery to a target (K2)', () => {
  it('pauses at a time, is retargeted forward to a name, refuses to go back, and is promoted', async () => {
    const { dataDir, port, connection, service } = await lab.restore('target');
    const base = {
      dataDir,
      user: lab.user,
      restoreCommand: lab.restoreCommand,
      salvageDir: null,
      timeline: 'latest',
      port,
    } as const;
    await configureRecovery({ ...base, target: { kind: 'time', time: middle.time } });
    await service.start();
    const paused = await waitForPause(connection, { service });
    expect(paused).toMatchObject({ inRecovery: true, paused: true });
    expect((paused.lastReplayedCommitAt ?? '~') <= middle.time).toBe(true);
    expect((await lab.query('SELECT count(*)::int AS rows FROM events', port)).rows[0]).toEqual({ rows: middle.rows });

    const forward = { ...base, target: { kind: 'name', name: "avant l'incident" } } as const;
    await recoverToTarget(forward, service, connection);
    await waitForPause(connection, { service });
    expect((await lab.query('SELECT count(*)::int AS rows FROM events', port)).rows[0]).toEqual({ rows: named.rows });
    // A second call finds it done.
    await recoverToTarget(forward, service, connection);
    await expect(
      recoverToTarget({ ...base, target: { kind: 'lsn', lsn: middle.lsn } }, service, connection),
    ).rejects.toMatchObject({ code: 'target-before-backup' });
    await expect(
      recoverToTarget({ ...base, target: { kind: 'time', time: middle.time } }, service, connection),
    ).rejects.toMatchObject({ code: 'target-before-backup' });
    expect(await service.status()).toBe('running');

    expect((await promoteServer(connection)).timeline).toBe(2);
    await expect(recoverToTarget({ ...base, target: { kind: 'latest' } }, service, connection)).rejects.toMatchObject({
      code: 'conflict',
    });
    await service.stop('fast');
  });

  it('pauses at an LSN and at an xid with exactly their rows', async () => {
    const { dataDir, port, connection, service } = await lab.restore('lsn');
    const base = {
      dataDir,
      user: lab.user,
      restoreCommand: lab.restoreCommand,
      salvageDir: null,
      timeline: 'latest',
      port,
    } as const;
    await configureRecovery({ ...base, target: { kind: 'lsn', lsn: middle.lsn } });
    await service.start();
    await waitForPause(connection, { service });
    expect((await lab.query('SELECT count(*)::int AS rows FROM events', port)).rows[0]).toEqual({ rows: middle.rows });
    const { xid } = lab.commits[249] as { xid: string };
    await recoverToTarget({ ...base, target: { kind: 'xid', xid } }, service, connection);
    await waitForPause(connection, { service });
    expect((await lab.query('SELECT count(*)::int AS rows FROM events', port)).rows[0]).toEqual({ rows: 250 });
    await service.stop('immediate');
  });

  it('a setting raised on the source after the backup is named, and is not taken for the target', async () => {
    const { dataDir, port, connection, service } = await lab.restore('shortage');
    const base = {
      dataDir,
      user: lab.user,
      restoreCommand: lab.restoreCommand,
      salvageDir: null,
      timeline: 'latest',
      port,
    } as const;
    await configureRecovery({ ...base, target: { kind: 'lsn', lsn: middle.lsn }, extra: { max_connections: '20' } });
    await expect(service.start()).rejects.toMatchObject({
      code: 'service-failed',
      details: { raise: { max_connections: '100' } },
    });
    const grown = await RecoveryLab.create();
    await grown.cluster.stop();
    await grown.cluster.configure({ max_connections: 120 });
    await grown.cluster.start();
    await grown.commitRows(5);
    await grown.archiveSegment();
    await grown.cluster.stop('immediate');
    const copy = await grown.restore('copy');
    const request = {
      dataDir: copy.dataDir,
      user: grown.user,
      restoreCommand: grown.restoreCommand,
      salvageDir: null,
      timeline: 'latest',
      port: copy.port,
      target: { kind: 'time', time: '2099-01-01T00:00:00Z' },
    } as const;
    await configureRecovery(request);
    await copy.service.start();
    await expect(waitForPause(copy.connection, { service: copy.service })).rejects.toMatchObject({
      code: 'service-failed',
      details: { raise: { max_connections: '120' } },
    });
    await copy.service.stop('immediate');
    expect(await recoveryProgress(connection).catch((error: unknown) => error)).toMatchObject({
      code: 'database-unreachable',
    });
  });

  it('W17: a disk that becomes full in replay is said as such, also where its log could not be written either', async () => {
    const small = join(lab.root, 'small');
    await mkdir(small);
    const used = await usedBytes(lab.backup, lab.user);
    // Room for the segment that recovery begins in, and not for the next ones.
    await run('mount', ['-t', 'tmpfs', '-o', `size=${used + 30_000_000},mode=0700`, 'reprise-test', small]);
    onCleanup(() => run('umount', ['--lazy', small]));
    await giveToPostgres(small);
    const { dataDir, port, connection, service } = await lab.restore('small/data');
    await configureRecovery({
      ...{ dataDir, port, user: lab.user, target: { kind: 'latest' }, timeline: 'latest', salvageDir: null },
      restoreCommand: lab.restoreCommand,
    });
    const failed = await service
      .start()
      .then(() => waitForEndOfWal(connection, 'FFF/0', { service, pollMs: 50 }))
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'disk-full', hint: expect.stringContaining('reprise continue') });
    await service.stop('immediate');
  });

  it('F25: a target after the last WAL ends the server with an error that says how far it came', async () => {
    const { dataDir, port, connection, service } = await lab.restore('after');
    await configureRecovery({
      dataDir,
      user: lab.user,
      target: { kind: 'time', time: '2099-01-01T00:00:00Z' },
      restoreCommand: lab.restoreCommand,
      salvageDir: null,
      timeline: 'latest',
      port,
    });
    const failed = await service
      .start()
      .then(() => waitForPause(connection, { service }))
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: 'target-not-reached',
      message: expect.stringMatching(/last commit that could be replayed was at \d{4}-/),
    });
    expect(await service.status()).toBe('stopped');
  });
});

/** What a foreign server of the copy names is reached by a copy with the network, and by no other where this host can do that. */
async function reachesNoOtherServer(dataDir: string): Promise<void> {
  let reached = 0;
  const production = createServer((socket) => {
    reached++;
    socket.destroy();
  });
  onCleanup(() => new Promise<void>((resolve) => production.close(() => resolve())));
  await new Promise<void>((resolve) => production.listen(0, '127.0.0.1', resolve));
  const { port } = production.address() as AddressInfo;
  const asked = async (fetchesWal: boolean, ...statements: string[]): Promise<number> => {
    reached = 0;
    const copy = await startScratchServer({ dataDir, pgBin: lab.pgBin, user: lab.user, fetchesWal });
    await withClient(copy.connection, 'postgres', async (client) => {
      for (const statement of statements) await client.query(statement);
      await expect(client.query('SELECT * FROM public.abroad')).rejects.toThrow(/could not connect to server/);
    });
    await copy.service.stop('fast');
    return reached;
  };
  const withNetwork = await asked(
    true,
    'CREATE EXTENSION postgres_fdw',
    `CREATE SERVER production FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '${port}')`,
    "CREATE USER MAPPING FOR CURRENT_USER SERVER production OPTIONS (user 'app', password 'p')",
    'CREATE FOREIGN TABLE public.abroad (i int) SERVER production',
  );
  expect(withNetwork).toBeGreaterThan(0);
  const isolated = (await withoutNetwork(lab.user)) !== null;
  expect((await asked(false)) > 0).toBe(!isolated);
}

describe('a copy for checks', () => {
  it('F28: archives nothing, listens nowhere, subscribes to nothing, reaches no other server, and is reached by its private socket only', async () => {
    const { dataDir } = await lab.restore('clone');
    // As a Debian cluster's copy comes: its configuration lies in /etc.
    for (const name of ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf']) await rm(join(dataDir, name));
    const before = await readdir(lab.archive);
    await configureRecovery({
      dataDir,
      user: lab.user,
      target: { kind: 'latest' },
      restoreCommand: lab.restoreCommand,
      salvageDir: null,
      timeline: 'latest',
      clone: true,
    });
    const scratch = await startScratchServer({ dataDir, pgBin: lab.pgBin, user: lab.user });
    onCleanup(() => scratch.remove());
    await waitForEndOfWal(scratch.connection, null, { service: scratch.service, pollMs: 200 });
    await promoteServer(scratch.connection);
    const settings = await withClient(scratch.connection, 'postgres', async (client) => {
      await client.query('CREATE TABLE public.written (i int); SELECT pg_switch_wal()');
      const names = [
        'archive_mode',
        'archive_command',
        'listen_addresses',
        'max_logical_replication_workers',
        'cron.launch_active_jobs',
        'unix_socket_permissions',
      ];
      const { rows } = await client.query<{ values: string[] }>(
        'SELECT array_agg(current_setting(name) ORDER BY i) AS values FROM unnest($1::text[]) WITH ORDINALITY AS n(name, i)',
        [names],
      );
      return rows[0]?.values;
    });
    expect(settings).toEqual(['off', '(disabled)', '', '0', 'off', '0700']);
    expect((await stat(scratch.connection.host)).mode & 0o777).toBe(0o700);
    await scratch.service.stop('fast');
    await reachesNoOtherServer(dataDir);
    await scratch.remove();
    expect(await readdir(lab.archive)).toEqual(before);
    expect(existsSync(scratch.connection.host)).toBe(false);
  });

  it('M1: it starts where segments of WAL are larger than the defaults of a server allow', async () => {
    const source = await startScratchCluster({ initdb: ['--wal-segsize=64'] });
    await source.stop();
    const { dataDir, binDir: pgBin } = source;
    await rm(join(dataDir, 'postgresql.conf'));
    const scratch = await startScratchServer({ dataDir, pgBin, user: lab.user });
    const { rows } = await withClient(scratch.connection, 'postgres', (client) =>
      client.query("SELECT current_setting('wal_segment_size') AS size"),
    );
    expect(rows).toEqual([{ size: '64MB' }]);
    await scratch.remove();
    // The same where it is recovered beside, and its configuration lies outside its data directory.
    await configureRecovery({
      ...{ dataDir, user: lab.user, target: { kind: 'end-of-backup' }, timeline: 'latest', clone: true },
      ...{ restoreCommand: 'false', salvageDir: null },
    });
    expect(await readFile(join(dataDir, 'postgresql.conf'), 'utf8')).toContain("min_wal_size = '128MB'");
  });
});
