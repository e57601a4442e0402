import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { RepriseError } from '../../../src/domain/errors.js';
import { nextSegment } from '../../../src/domain/target/wal.js';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { rearmArchiving } from '../../../src/postgres/wal/archiving.js';
import { salvageWal } from '../../../src/postgres/wal/salvage.js';
import { startBaseCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { oneRow, RecoveryHistory, requireSecondHistory } from '../../helpers/recovery-history.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { bound } from '../../helpers/bound.js';

failOnLeakedProcesses();

let source: BaseCluster;
let history: RecoveryHistory;

const archived = (name: string): string => join(source.walDirectory, `${name}.gz`);

beforeAll(async () => {
  source = await startBaseCluster({}, []);
  const tablespace = join(await tempDir('space'), 'a space; $(id) é');
  await mkdir(tablespace);
  await giveToPostgres(tablespace);
  await runQuery(source.cluster, 'postgres', `CREATE TABLESPACE "far; away" LOCATION '${tablespace}'`);
  history = new RecoveryHistory({ engine, server: source.cluster, context: source.context });
  await history.begin({ tablespace: 'far; away' });
  for (const name of ['first', 'second', 'third']) {
    await history.commit(name);
    await history.archive();
  }
  await history.commit('unarchived');
});

describe('K2, K8: a real recovery (to each kind of target: the contract suite)', () => {
  it('S4: has the content of that instant, tablespaces included', async () => {
    const { time, content } = history.point('second');
    expect(await history.recoveredContent({ kind: 'time', time })).toBe(content);
  });

  it('a tablespace lies where it was told to, and the live one is not touched', async () => {
    const context = await history.newContext();
    const recovered = await recoverBeside(context, await history.outline({ kind: 'end-of-backup' }, { context }), {
      engine,
    });
    const { location } = await oneRow(
      recovered,
      `SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace WHERE spcname = 'far; away'`,
    );
    expect(location).toBe(join(recovered.dataDir, '..', 'tablespaces', location?.split('/').at(-1) ?? ''));
    await recovered.remove();
  });

  it('F1: an attempt that follows one killed after the tablespaces were linked leaves what is restored as it is', async () => {
    // Of its own links, which are no others: its path has what find takes for a pattern.
    const root = join(await tempDir('target'), 'a [b] *');
    await mkdir(root);
    const where = {
      ...(await bound(engine, await source.context('binds'), history.backup)),
      dataDir: join(root, 'data'),
      tablespaceDir: join(root, 'spaces'),
    };
    const attempt = async (): Promise<void> =>
      engine.physical?.restoreFiles(await source.context('killed after the links'), where);
    await attempt();
    const inodes = async (): Promise<number[]> => {
      const [oid = ''] = await readdir(where.tablespaceDir);
      const found = [
        join(where.dataDir, 'PG_VERSION'),
        join(where.dataDir, 'pg_tblspc', oid),
        join(where.tablespaceDir, oid),
      ];
      return Promise.all(found.map((path) => stat(path).then(({ ino }) => ino)));
    };
    const before = await inodes();
    await attempt();
    expect(await inodes()).toEqual(before);
  });
});

describe('S3: refused before anything is changed', () => {
  const aside: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (let undo = aside.pop(); undo !== undefined; undo = aside.pop()) await undo();
  });

  it('F25: what only the old pg_wal holds can be reached with it', async () => {
    const { lsn } = history.point('unarchived');
    await expect(history.outline({ kind: 'lsn', lsn })).rejects.toMatchObject({ code: 'target-after-wal' });
    await expect(history.outline({ kind: 'lsn', lsn }, { oldDataDir: source.cluster.dataDir })).resolves.toMatchObject({
      salvageableSegments: 1,
    });
  });

  const damage = async (segment: string, how: 'a flipped bit' | 'no bytes'): Promise<void> => {
    const path = archived(segment);
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    const flipped = Buffer.from(content);
    // Of gzip's own checksum: a bit elsewhere may change nothing, since one run of zeros is as good as another.
    const at = content.length - 8;
    flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
    await writeFile(path, how === 'no bytes' ? '' : flipped);
  };

  it.each(['a flipped bit', 'no bytes'] as const)('F15: archived WAL with %s', async (how) => {
    const damaged = nextSegment(history.backup.wal?.stop ?? '');
    await damage(damaged, how);
    // No damage of the backup: nobody quarantines it for that.
    await expect(history.outline({ kind: 'xid', xid: history.point('first').xid })).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringContaining(damaged) as unknown,
    });
  });

  it('F15, F23: behind a damaged segment in the middle nothing is found; before it all is well', async () => {
    const damaged = nextSegment(nextSegment(history.backup.wal?.stop ?? ''));
    await damage(damaged, 'a flipped bit');
    await expect(history.outline({ kind: 'name', name: 'after third' })).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringContaining(damaged) as unknown,
    });
    expect(await history.recoveredContent({ kind: 'name', name: 'after first' })).toBe(history.point('first').content);
  });

  it('F15, F23: of a damaged last segment only what lies in it is lost: what can still be reached is named, and reached', async () => {
    const damaged = nextSegment(nextSegment(nextSegment(history.backup.wal?.stop ?? '')));
    await damage(damaged, 'a flipped bit');
    const warned = await history.outline({ kind: 'time', time: history.point('first').time });
    expect(warned.walEnd).toBeNull();
    expect(warned.warnings).toContainEqual(
      expect.stringMatching(
        new RegExp(
          `archived WAL is damaged, ${damaged}.* the latest recoverable time is ${warned.reachableTo ?? ''} \\(lsn:`,
        ),
      ),
    );
    const named: string[] = [];
    for (const target of [{ kind: 'latest' }, { kind: 'time', time: history.point('third').time }] as const) {
      const refused = (await history.outline(target).catch((error: unknown) => error)) as RepriseError;
      expect(refused).toMatchObject({ code: 'wal-gap', message: expect.stringContaining(damaged) as unknown });
      named.push(/the latest recoverable time is (\S+) \(lsn:/.exec(refused.hint ?? '')?.[1] ?? '');
    }
    // Of the last commit; of a time that was asked for, of the restore point after it.
    expect(named[0]).toBe(warned.reachableTo);
    expect(Date.parse(named[1] ?? '')).toBeGreaterThanOrEqual(Date.parse(warned.reachableTo ?? ''));
    expect(await history.recoveredContent({ kind: 'time', time: named[1] ?? '' })).toBe(
      history.point('second').content,
    );
    // The lost server's own copy of it stands in.
    await expect(history.outline({ kind: 'latest' }, { oldDataDir: source.cluster.dataDir })).resolves.toMatchObject({
      salvageableSegments: 2,
      warnings: [],
    });
  });

  it('F15: damaged WAL that makes the backup consistent is a verdict of verify', async () => {
    const path = archived(history.backup.wal?.stop ?? '');
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    await writeFile(path, content.subarray(0, 500));
    await expect(engine.verify(await history.newContext(), history.backup)).resolves.toMatchObject({
      ok: false,
      detail: expect.stringContaining(history.backup.wal?.stop ?? '') as unknown,
    });
  });

  it('F15: a damaged archive is told before anything is written to the target', async () => {
    const path = join(source.directory, history.backup.label, 'base.tar.gz');
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    const flipped = Buffer.from(content);
    flipped.writeUInt8(flipped.readUInt8(9000) ^ 1, 9000);
    await writeFile(path, flipped);
    const dataDir = join(await tempDir('target'), 'data');
    const context = await history.newContext();
    const restored = engine.physical?.restoreFiles(context, {
      ...(await bound(engine, context, history.backup)),
      dataDir,
      tablespaceDir: `${dataDir}.spaces`,
    });
    await expect(restored).rejects.toMatchObject({
      code: 'backup-corrupt',
      details: { damagedBackup: history.backup.id },
    });
    await expect(readFile(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('F17: a folder copied from another cluster', async () => {
    const context = await history.newContext();
    const other = { ...context, cluster: { ...context.cluster, name: 'other' } };
    await expect(history.outline({ kind: 'latest' }, { context: other })).rejects.toMatchObject({
      code: 'no-usable-backup',
    });
  });

  it('F15: a manifest that is not the recorded one is passed over', async () => {
    const path = join(source.directory, history.backup.label, 'reprise.json');
    const content = await readFile(path, 'utf8');
    aside.push(() => writeFile(path, content));
    await writeFile(path, content.replace(/"sizeBytes": \d+/, '"sizeBytes": 1'));
    await expect(history.outline({ kind: 'latest' })).rejects.toMatchObject({
      code: 'no-usable-backup',
      hint: expect.stringContaining('manifest') as unknown,
    });
  });
});

describe('after the instance was lost', () => {
  it('S4: with its unarchived WAL not a row is lost', async () => {
    await source.cluster.kill();
    for (const name of ['base', 'global']) await rm(join(source.cluster.dataDir, name), { recursive: true });
    const { dataDir } = source.cluster;
    const context = await history.newContext();
    const salvageDir = join(await tempDir('salvage'), 'wal');
    await salvageWal({
      oldDataDir: dataDir,
      toDir: salvageDir,
      archivedUpTo: null,
      pgBin: context.pgBin,
      user: context.user,
    });
    expect(await history.recoveredContent({ kind: 'latest' }, { oldDataDir: dataDir, salvageDir })).toBe(
      history.point('unarchived').content,
    );
  });

  it('K2, B5: after a promotion the new timeline is archived and followed, what the old one wrote after is named', async () => {
    const context = await history.newContext();
    const recovered = await recoverBeside(
      context,
      await history.outline({ kind: 'lsn', lsn: history.point('first').lsn }, { context }),
      { clone: false, engine },
    );
    await recovered.promote();
    const connection = { ...context.cluster.connection, host: recovered.host, port: recovered.port };
    const after = { ...context, cluster: { ...context.cluster, connection, dataDir: recovered.dataDir } };
    await runQuery(recovered, 'postgres', `INSERT INTO rdv (what) VALUES ('on the new timeline')`);
    const content = await history.contentOf(recovered);
    await rearmArchiving(connection, engine.physical?.archiveCommand(after) ?? null);
    await engine.physical?.rearm(after);
    await recovered.remove();

    const next = await history.newContext();
    const plan = await history.outline({ kind: 'latest' }, { context: next });
    expect(plan.timeline).toBe(2);
    expect(plan.warnings.join()).toMatch(/changes on timeline 1 after .* are not recovered/);
    const again = await recoverBeside(next, plan, { engine });
    expect(await history.contentOf(again)).toBe(content);
    await again.remove();
  });

  it('W5, F49: without the history of the new timeline latest is refused, and the old one is not taken for it; a time names its timeline', async () => {
    const file = join(source.walDirectory, '00000002.history.gz');
    await requireSecondHistory(history, file);
  });
});
