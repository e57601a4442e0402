import { execFile } from 'node:child_process';
import { readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { spoolOf } from '../../../src/engines/basebackup/repository/names.js';
import { readPgManifest } from '../../../src/engines/basebackup/backup/pg-manifest.js';
import { verifySpool } from '../../../src/engines/basebackup/backup/spool.js';
import { unpack } from '../../../src/engines/basebackup/restore/unpack.js';
import { cancelledAnywhere } from '../../contract/cancelled-anywhere.js';
import { asBackup } from '../../contract/engine-suite.js';
import { letArchive, startBaseCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres, runAsPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();
const run = promisify(execFile);

let source: BaseCluster;
let second = 0;
const startedAt = (): string => new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();

beforeAll(async () => {
  source = await startBaseCluster();
  await engine.preflightBackup(await source.context('first'));
});

describe('what pg_basebackup wrote is not believed', () => {
  it('F4: without a whole backup_manifest it is rejected', async () => {
    const directory = await tempDir('manifest');
    await expect(readPgManifest(join(directory, 'backup_manifest'))).rejects.toMatchObject({ code: 'backup-corrupt' });
    await writeFile(
      join(directory, 'backup_manifest'),
      '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n{ "Path": "PG_VERSION", "Size": 3,',
    );
    await expect(readPgManifest(join(directory, 'backup_manifest'))).rejects.toMatchObject({ code: 'backup-corrupt' });
  });

  it('F16: pg_verifybackup finds a file that is not what the server sent', async () => {
    const [made] = await engine.backup(await source.context('whole'), { type: 'full', startedAt: startedAt() });
    const context = await source.context('flipped');
    const tars = join(spoolOf(context), 'tar');
    await runAsPostgres('mkdir', ['-p', join(tars, 'x')]);
    const from = join(source.directory, made?.label ?? '');
    // One byte of one file within the archive, which gzip's own checksum says nothing of.
    await runAsPostgres('/bin/sh', [
      '-c',
      `cp '${from}'/*.gz '${from}/backup_manifest' '${tars}' && cd '${tars}/x' && tar -xzf ../base.tar.gz && printf X | dd of=PG_VERSION conv=notrunc status=none && tar -czf ../base.tar.gz . && rm -r '${tars}/x'`,
    ]);
    await expect(verifySpool(context)).rejects.toMatchObject({
      code: 'backup-corrupt',
      message: expect.stringContaining('PG_VERSION') as unknown,
    });
    await rm(spoolOf(context), { recursive: true });
  });

  it('F7: without its stop WAL in the archive a backup does not count; the next attempt takes up what is there', async () => {
    const context = await source.context('stuck');
    source.options['archiveTimeoutSeconds'] = 1;
    await writeFile(source.failFile, '');
    const request = { type: 'full', startedAt: startedAt() } as const;
    await expect(engine.backup(context, request)).rejects.toMatchObject({
      code: 'wal-not-archived',
      hint: expect.stringContaining('ALTER SYSTEM SET archive_command') as unknown,
    });
    expect((await engine.list(context)).map(({ startedAt: at }) => at)).not.toContain(request.startedAt);
    await letArchive(source);
    // After three failures the archiver waits for a minute, or for the next segment.
    await runQuery(source.cluster, 'postgres', "SELECT pg_create_restore_point('wake'), pg_switch_wal()");
    source.options['archiveTimeoutSeconds'] = 240;
    const [made] = await engine.backup(await source.context('stuck'), request);
    expect(await engine.verify(await source.context('verify stuck'), asBackup(made as never))).toMatchObject({
      ok: true,
    });
    // Nothing is left on the host.
    await expect(readdir(spoolOf(context))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('D2: cancelled at any step it leaves nothing on the host and in the repository', async () => {
    const ends: Record<string, string> = {};
    const stored = async (): Promise<string[]> =>
      (await readdir(source.directory, { recursive: true })).filter((name) => /^full_\d+_\d+\//.test(name));
    let before = await stored();
    await cancelledAnywhere(
      source.ground.storage,
      /^stat|base|^write .reprise/,
      async (number, cancelling) =>
        engine.backup(await source.context(`cancelled ${number}`, cancelling), {
          type: 'full',
          startedAt: startedAt(),
        }),
      async (end, step) => {
        ends[step] = end;
        const now = await stored();
        const { scratchDir } = (await source.context('scratch')).host;
        const spools = (await readdir(scratchDir)).filter((name) => name.startsWith('basebackup-'));
        expect({ step, added: now.length - before.length, spools }).toEqual({
          ...{ step, spools: [] },
          added: end === 'made' ? expect.any(Number) : 0,
        });
        // Two archives, PostgreSQL's manifest and ours.
        if (end === 'made') expect(now.length).toBeGreaterThanOrEqual(before.length + 4);
        before = now;
      },
    );
    expect(ends).toMatchObject({ nothing: 'made', 'writeStream /base.tar.gz': 'cancelled' });
  });

  it('refuses to begin where WAL goes elsewhere, with the line to paste', async () => {
    const elsewhere = await source.context('elsewhere', { policy: { ...source.ground.policy, name: 'other' } });
    await expect(engine.preflightBackup(elsewhere)).rejects.toMatchObject({
      code: 'wal-not-archived',
      hint: expect.stringContaining('/mairie/other/wal') as unknown,
    });
  });

  it('refuses to begin without room for the spool, or with a role that may not', async () => {
    const context = await source.context('roles');
    await runQuery(source.cluster, 'postgres', 'CREATE ROLE weak LOGIN; GRANT pg_read_all_data, pg_monitor TO weak');
    const connection = { ...context.cluster.connection, user: 'weak' };
    await expect(
      engine.preflightBackup({ ...context, cluster: { ...context.cluster, connection } }),
    ).rejects.toMatchObject({
      code: 'privilege-missing',
      hint: 'ALTER ROLE weak REPLICATION; GRANT EXECUTE ON FUNCTION pg_create_restore_point(text), pg_switch_wal() TO weak',
    });
  });

  it('F37: a link in an archive is refused, and what it leads to is not touched', async () => {
    const context = await source.context('links');
    const [root, victim] = [await tempDir('links'), await tempDir('victim')];
    await writeFile(join(victim, 'kept'), 'kept');
    await runAsPostgres('/bin/sh', [
      '-c',
      `cd '${root}' && mkdir in out && ln -s '${victim}' in/way && tar -C in -cf evil.tar . && rm in/way && mkdir in/way && echo evil >in/way/kept && tar -C in -rf evil.tar ./way/kept && gzip evil.tar`,
    ]);
    const parts = [{ archive: join(root, 'evil.tar.gz'), into: join(root, 'out') }];
    await expect(
      unpack(context, 'unpack', { parts, clear: () => rm(join(root, 'out'), { recursive: true, force: true }) }),
    ).rejects.toBeTruthy();
    expect(await readFile(join(victim, 'kept'), 'utf8')).toBe('kept');
  });
});

describe('B5: the archive_command that Reprise ships', () => {
  const name = '0000000100000000000000AA';
  const push = async (path: string, file = name, repository = source): Promise<number> => {
    const command = engine.physical?.archiveCommand(await repository.context('push')) ?? '';
    // As PostgreSQL fills it in.
    const filled = command.replaceAll('%p', path).replaceAll('%f', file).replaceAll('%%', '%');
    return run('/bin/sh', ['-c', filled]).then(
      () => 0,
      (error: { code: number }) => error.code,
    );
  };
  const segmentOf = async (byte: number): Promise<string> => {
    const path = join(await tempDir('segment'), `a b'c`.replaceAll("'", ''));
    await writeFile(path, Buffer.alloc(1 << 20, byte));
    return path;
  };

  it('stores a file once, takes the very same again, and never replaces another', async () => {
    const one = await segmentOf(1);
    expect(await push(one)).toBe(0);
    const stored = await readFile(join(source.walDirectory, `${name}.gz`));
    expect(gunzipSync(stored).equals(await readFile(one))).toBe(true);
    expect(await push(one)).toBe(0);
    expect(await push(await segmentOf(2))).not.toBe(0);
    expect(await readFile(join(source.walDirectory, `${name}.gz`))).toEqual(stored);
    expect((await readdir(source.walDirectory)).filter((file) => file.startsWith('.'))).toEqual([]);
  });

  it('of many at once one wins, and all that is there is whole', async () => {
    const other = '0000000100000000000000AB';
    const [one, two] = [await segmentOf(1), await segmentOf(2)];
    const codes = await Promise.all(Array.from({ length: 8 }, (_, index) => push(index % 2 === 0 ? one : two, other)));
    const stored = gunzipSync(await readFile(join(source.walDirectory, `${other}.gz`)));
    const winner = stored[0] === 1 ? 0 : 1;
    expect(stored.equals(await readFile(winner === 0 ? one : two))).toBe(true);
    expect(codes.filter((code, index) => code === 0 && index % 2 !== winner)).toEqual([]);
  });

  it('fails on a file that is missing or a directory that is not there, as when it is not mounted', async () => {
    expect(await push('/nonexistent/segment', '0000000100000000000000AC')).not.toBe(0);
    const away = {
      ...source,
      context: (id: string) => source.context(id, { policy: { ...source.ground.policy, name: 'unmounted' } }),
    };
    expect(await push(await segmentOf(1), name, away)).not.toBe(0);
    await expect(readdir(join(source.directory, '..', 'unmounted'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('F35: a repository whose path holds quotes and percent signs', async () => {
    const strange = join(await tempDir('strange'), `it's 100% "$(id)"`);
    await runAsPostgres('mkdir', ['-p', join(strange)]);
    await giveToPostgres(strange);
    const link = join(await tempDir('plain'), 'link');
    await symlink(strange, link);
    const context = await source.context('strange');
    const storage = { ...context.storage, localPath: () => strange };
    const odd = { ...source, context: () => Promise.resolve({ ...context, storage }) };
    expect(await push(await segmentOf(3), name, odd)).toBe(0);
    expect(await readdir(strange)).toEqual([`${name}.gz`]);
    const fetch = (engine.physical?.restoreCommand({ ...context, storage }) ?? '')
      .replaceAll('%p', join(strange, 'fetched'))
      .replaceAll('%f', name)
      .replaceAll('%%', '%');
    // A quote in the place where it is restored to would end the word: PostgreSQL's own path there is relative and plain.
    await run('/bin/sh', ['-c', fetch.replace(join(strange, 'fetched'), join(link, '..', 'fetched'))]);
    expect((await readFile(join(link, '..', 'fetched'))).length).toBe(1 << 20);
  });
});
