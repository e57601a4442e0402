import { describe, expect, it } from '@jest/globals';
import { existsSync, statSync } from 'node:fs';
import { appendFile, lstat, mkdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ServiceConfig } from '../../../src/domain/config.js';
import { moveOldData } from '../../../src/postgres/old-data/move-old-data.js';
import { readControlData } from '../../../src/postgres/server/control-data.js';
import { inspectDataDir } from '../../../src/postgres/server/data-directory.js';
import { freeBytes } from '../../../src/postgres/server/disk.js';
import { dropOldData, markOfOldData } from '../../../src/postgres/old-data/drop-old-data.js';
import { processesIn, readPostmaster } from '../../../src/postgres/server/postmaster.js';
import { serviceOf } from '../../../src/postgres/server/service.js';
import type { Service } from '../../../src/postgres/server/service.js';
import { runProgram } from '../../../src/process/exec/run-program.js';
import { jobUser } from '../../../src/process/exec/users.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { freePort } from '../../helpers/ports.js';
import { asPostgres, asRoot } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/scratch-cluster.js';
import { tempDir } from '../../helpers/temp.js';

async function stopped(config?: ServiceConfig): Promise<{ cluster: ScratchCluster; service: Service }> {
  const cluster = await startScratchCluster();
  await cluster.stop();
  const service = serviceOf(
    { dataDir: cluster.dataDir, service: config ?? { kind: 'pg_ctl' } },
    cluster.binDir,
    await jobUser(),
  );
  onCleanup(() => service.stop('immediate'));
  return { cluster, service };
}

const connection = { host: '/nowhere', port: 1, user: 'x', maintenanceDatabase: 'postgres' };

describe('service pg_ctl', () => {
  it('starts in a session of its own, twice is once, reloads and stops', async () => {
    const { cluster, service } = await stopped();
    expect(await service.status()).toBe('stopped');
    await service.start({ settings: { application_name: "it's", 'app.note': 'a b' } });
    await service.start();
    const pid = (await readPostmaster(cluster.dataDir))?.pid as number;
    const [, session] = (await readFile(`/proc/${pid}/stat`, 'utf8'))
      .replace(/^.*\) /, '')
      .split(' ')
      .slice(1);
    expect(session).not.toBe((await readFile('/proc/self/stat', 'utf8')).replace(/^.*\) /, '').split(' ')[3]);
    expect((await runQuery(cluster, 'postgres', `SELECT current_setting('app.note') AS note`)).rows).toEqual([
      { note: 'a b' },
    ]);
    expect((await stat(join(dirname(cluster.dataDir), 'data.log'))).mode & 0o777).toBe(0o600);
    await service.reload();
    await service.stop('fast');
    await service.stop('fast');
    expect(await service.status()).toBe('stopped');
    expect((await readControlData(cluster.binDir, cluster.dataDir, await jobUser()))?.state).toBe('shut down');
  });

  it('a configuration that still names another data directory does not lead there', async () => {
    const [first, second] = [await stopped(), await stopped()];
    await appendFile(join(second.cluster.dataDir, 'postgresql.conf'), `data_directory = '${first.cluster.dataDir}'\n`);
    await second.service.start();
    expect(await first.service.status()).toBe('stopped');
    expect((await runQuery(second.cluster, 'postgres', 'SHOW data_directory')).rows).toEqual([
      { data_directory: second.cluster.dataDir },
    ]);
    await second.service.stop('fast');
  });

  it('a start that fails says why, from the server’s log', async () => {
    const { cluster, service } = await stopped();
    await appendFile(join(cluster.dataDir, 'postgresql.conf'), "shared_buffers = '1kB'\n");
    const error = await service.start().catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'service-failed',
      message: expect.stringContaining('FATAL'),
      details: { logTail: expect.stringContaining('shared_buffers') },
    });
    expect(await service.logTail()).toContain('shared_buffers');
  });

  it('a postmaster that was SIGKILLed counts as stopped, its backends are waited for, and it starts again (cheap thing first)', async () => {
    const { cluster, service } = await stopped();
    await service.start();
    await runQuery(cluster, 'postgres', 'CREATE TABLE t AS SELECT 1 AS i');
    const user = await jobUser();
    process.kill((await readPostmaster(cluster.dataDir))?.pid as number, 'SIGKILL');
    await service.stop('immediate');
    expect(await processesIn(cluster.dataDir)).toEqual([]);
    expect(await inspectDataDir(cluster.binDir, cluster.dataDir, user)).toMatchObject({
      state: 'whole',
      control: { state: 'in production' },
    });
    await service.start();
    expect((await runQuery(cluster, 'postgres', 'SELECT i FROM t')).rows).toEqual([{ i: 1 }]);
  });
});

describe('other kinds of service', () => {
  it('hook: the operator’s own commands start and stop it', async () => {
    const { cluster } = await stopped();
    const pgCtl = (...args: string[]): string[] =>
      asPostgres(join(cluster.binDir, 'pg_ctl'), [...args, '-D', cluster.dataDir, '-s', '-W']).flat();
    const hook: ServiceConfig = {
      kind: 'hook',
      start: pgCtl('start', '-l', cluster.logFile),
      stop: pgCtl('stop', '-m', 'fast'),
    };
    const service = serviceOf(
      { dataDir: cluster.dataDir, service: hook, logFile: cluster.logFile },
      cluster.binDir,
      await jobUser(),
    );
    await service.start();
    expect(await service.status()).toBe('running');
    await service.stop('fast');
    expect(await service.status()).toBe('stopped');
    await expect(service.start({ settings: { port: '1' } })).rejects.toMatchObject({ code: 'capability-missing' });
    const broken = serviceOf(
      { dataDir: cluster.dataDir, service: { ...hook, start: ['false'] } },
      cluster.binDir,
      await jobUser(),
    );
    await expect(broken.start()).rejects.toMatchObject({ code: 'service-failed' });
  });

  (asRoot && existsSync('/usr/bin/pg_createcluster') ? it : it.skip)(
    'pg_ctlcluster: Debian’s own clusters',
    async () => {
      const name = `reprise_test_${process.pid}`;
      const root = await tempDir('deb');
      const dataDir = join(root, 'data');
      const port = await freePort();
      onCleanup(() => runProgram(['pg_dropcluster', '--stop', '15', name]).catch(() => undefined));
      await runProgram([
        'pg_createcluster',
        '15',
        name,
        '--datadir',
        dataDir,
        '--port',
        String(port),
        '--socketdir',
        root,
        '--start-conf',
        'manual',
        '--',
        '--no-sync',
      ]);
      const service = serviceOf(
        { dataDir, service: { kind: 'pg_ctlcluster', version: '15', name } },
        '/usr/lib/postgresql/15/bin',
        await jobUser(),
      );
      await service.start({ settings: { 'app.note': 'a b' } });
      expect(await service.status()).toBe('running');
      expect(await service.logTail()).toContain('ready to accept connections');
      await service.stop('fast');
      expect(await service.status()).toBe('stopped');
      await runProgram(['pg_dropcluster', '15', name]);
    },
  );
});

describe('inspecting a data directory', () => {
  it('whole, damaged, empty or missing, with what is missing', async () => {
    const { cluster } = await stopped();
    const look = async (): Promise<unknown> => inspectDataDir(cluster.binDir, cluster.dataDir, await jobUser());
    expect(await look()).toMatchObject({
      state: 'whole',
      walReadable: true,
      control: { major: 15, timeline: 1, segmentBytes: 16777216, settings: { max_connections: 100 } },
    });
    const control = join(cluster.dataDir, 'global/pg_control');
    const whole = await readFile(control);
    await writeFile(
      control,
      Buffer.concat([whole.subarray(0, 40), Buffer.from([(whole[40] as number) ^ 1]), whole.subarray(41)]),
    );
    expect(await look()).toMatchObject({ state: 'damaged', reason: expect.stringContaining('control file') });
    await writeFile(control, whole);
    await rm(join(cluster.dataDir, 'base/5/pg_filenode.map'));
    expect(await look()).toMatchObject({ state: 'damaged', reason: expect.stringContaining('base/5') });
    await rm(join(cluster.dataDir, 'pg_wal'), { recursive: true });
    expect(await look()).toMatchObject({ state: 'damaged', walReadable: false });
    const empty = await tempDir('empty');
    expect(await inspectDataDir(cluster.binDir, empty, null)).toMatchObject({ state: 'empty' });
    expect(await inspectDataDir(cluster.binDir, join(empty, 'none'), null)).toMatchObject({ state: 'missing' });
  });
});

describe('putting old data aside', () => {
  it('renames, finds it done, and keeps what a later step made in its place', async () => {
    const root = await tempDir('aside');
    const [data, aside] = [join(root, 'data'), join(root, 'data.aside-op1')];
    expect(await moveOldData(data, aside)).toEqual({ movedTo: null, outside: [] });
    await mkdir(join(data, 'pg_tblspc'), { recursive: true });
    await symlink('/elsewhere/ts', join(data, 'pg_tblspc/16400'));
    await symlink('/elsewhere/wal', join(data, 'pg_wal'));
    const done = { movedTo: aside, outside: ['/elsewhere/ts', '/elsewhere/wal'] };
    expect(await moveOldData(data, aside)).toEqual(done);
    await mkdir(data);
    await writeFile(join(data, 'new'), '');
    expect(await moveOldData(data, aside)).toEqual(done);
    expect(existsSync(join(data, 'new'))).toBe(true);
    const mark = await markOfOldData(aside, connection);
    const another = { where: aside, mark: await markOfOldData(data, connection) };
    await expect(dropOldData(another, connection)).rejects.toMatchObject({ code: 'path-refused' });
    await dropOldData({ where: aside, mark }, connection);
    await dropOldData({ where: aside, mark }, connection);
    expect(existsSync(aside)).toBe(false);
    await expect(dropOldData({ where: data, mark }, connection)).rejects.toMatchObject({ code: 'path-refused' });
  });

  it('of a link the target is renamed and the link stays', async () => {
    const root = await tempDir('aside');
    await mkdir(join(root, 'disk/real'), { recursive: true });
    await symlink('disk/real', join(root, 'data'));
    expect(await moveOldData(join(root, 'data'), join(root, 'data.aside-op1'))).toMatchObject({
      movedTo: join(root, 'data.aside-op1'),
    });
    expect((await lstat(join(root, 'data.aside-op1'))).isDirectory()).toBe(true);
    expect(await readlink(join(root, 'data'))).toBe('disk/real');
    expect((await moveOldData(join(root, 'data'), join(root, 'data.aside-op2'))).movedTo).toBeNull();
  });

  it('a directory in use, a mount point and another file system are refused', async () => {
    const { cluster, service } = await stopped();
    await service.start();
    await expect(moveOldData(cluster.dataDir, `${cluster.dataDir}.aside-x`)).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(moveOldData('/proc', '/proc.aside-x')).rejects.toMatchObject({ code: 'path-refused' });
    await service.stop('immediate');
    const { dev } = await stat(cluster.root);
    const [elsewhere] = ['/dev/shm', tmpdir()].filter((place) => statSync(place).dev !== dev);
    if (elsewhere !== undefined) {
      await expect(moveOldData(cluster.dataDir, `${elsewhere}/data.aside-x`)).rejects.toMatchObject({
        code: 'path-refused',
        message: expect.stringContaining('another file system'),
      });
    }
    expect(existsSync(cluster.dataDir)).toBe(true);
  });
});

describe('disk', () => {
  it('free room is that of the nearest directory there is', async () => {
    const root = await tempDir('disk');
    expect(await freeBytes(join(root, 'not/yet'))).toBeGreaterThan(0);
  });
});
