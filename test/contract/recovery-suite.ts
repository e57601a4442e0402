import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../src/domain/backup/backup.js';
import type { RecoveryTarget } from '../../src/domain/target/target.js';
import type { ServerAddress } from '../helpers/postgres.js';
import { tempDir } from '../helpers/temp.js';
import { RecoveryHistory } from '../helpers/recovery-history.js';
import type { EngineFixture } from './engine-suite.js';
import { bound } from '../helpers/bound.js';
import { expectOddDatabasesHarmless } from './odd-databases.js';

/** What the recovery part needs of an engine that restores data directories. */
export interface RecoveryFixture {
  /** The source, whose WAL is archived all the while. */
  readonly source: ServerAddress;
  /** File of an archived segment. */
  archivedFile(segment: string): Promise<string>;
  /** It takes a last segment that cannot be unpacked for one that was cut off while it was written: there the log ends. */
  readonly writesInPlace?: true;
}

/** Recovery to every kind of target, and what is refused before anything is changed: the same for all engines that keep WAL. */
export function recoveryContract(fixtureOf: () => EngineFixture): void {
  describe('K2, S3: recovery', () => {
    let history: RecoveryHistory;
    let backup: Backup;
    let lastSegment: string;
    let newest: string;
    let fixture: EngineFixture & { readonly recovery: RecoveryFixture };
    const undo: (() => Promise<unknown>)[] = [];

    /** Out of the archive's directory: some tools take a file for a segment whatever follows its name. */
    async function takeAway(segment: string): Promise<void> {
      const file = await fixture.recovery.archivedFile(segment);
      const away = join(fixture.stateDir, 'taken-away');
      await rename(file, away);
      undo.push(() => rename(away, file));
    }

    beforeAll(async () => {
      const { recovery, ...rest } = fixtureOf();
      if (recovery === undefined) throw new Error('this fixture has no part for recoveries');
      fixture = { ...rest, recovery };
      history = new RecoveryHistory({ engine: fixture.engine, server: recovery.source, context: fixture.context });
      await history.begin();
      ({ backup } = history);
      for (const name of ['one', 'two', 'three']) {
        await history.commit(name);
        const segment = await history.archive();
        if (name === 'two') lastSegment = segment;
        newest = segment;
      }
      await history.commit('unarchived');
    });

    afterEach(async () => {
      for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
    });

    it.each<[string, string, () => RecoveryTarget]>([
      ['time', 'one', () => ({ kind: 'time', time: history.point('one').time })],
      ['lsn', 'one', () => ({ kind: 'lsn', lsn: history.point('one').lsn })],
      ['xid', 'one', () => ({ kind: 'xid', xid: history.point('one').xid })],
      ['name', 'one', () => ({ kind: 'name', name: 'after one' })],
      ['latest', 'three', () => ({ kind: 'latest' })],
    ])('to %s', async (_, expected, target) => {
      expect(await history.recoveredContent(target())).toBe(history.point(expected).content);
    });

    it('to a backup by its id: its own end', async () => {
      expect(await history.recoveredContent({ kind: 'backup', id: backup.id })).toMatch(/^1000 /);
    });

    it('F24: a target before the end of the earliest backup is refused, and that backup named', async () => {
      const refused = { code: 'target-before-backup', message: expect.stringContaining(backup.label) as unknown };
      await expect(history.outline({ kind: 'time', time: backup.startedAt })).rejects.toMatchObject(refused);
      await expect(
        history.outline({ kind: 'time', time: new Date(Date.parse(backup.startedAt) - 1000).toISOString() }),
      ).rejects.toMatchObject(refused);
      await expect(history.outline({ kind: 'lsn', lsn: '0/100' })).rejects.toMatchObject(refused);
    });

    it('F25: a target after the last WAL is refused, and the latest instant named', async () => {
      const refused = {
        code: 'target-after-wal',
        hint: expect.stringMatching(/latest recoverable time is \d{4}-/) as unknown,
      };
      await expect(history.outline({ kind: 'time', time: history.point('unarchived').time })).rejects.toMatchObject(
        refused,
      );
      await expect(
        history.outline({ kind: 'time', time: new Date(Date.now() + 3_600_000).toISOString() }),
      ).rejects.toMatchObject(refused);
      await expect(history.outline({ kind: 'lsn', lsn: 'FF/0' })).rejects.toMatchObject(refused);
      await expect(history.outline({ kind: 'name', name: 'never made' })).rejects.toMatchObject(refused);
      await expect(history.outline({ kind: 'xid', xid: '4000000' })).rejects.toMatchObject(refused);
      const { reachableTo, reachableFrom } = await history.outline({ kind: 'latest' });
      expect(Date.parse(reachableTo ?? '')).toBeLessThanOrEqual(Date.parse(history.point('three').time));
      expect(Date.parse(reachableTo ?? '')).toBeGreaterThan(Date.parse(history.point('two').time));
      expect(Date.parse(reachableFrom ?? '')).toBeGreaterThan(Date.parse(backup.finishedAt ?? ''));
    });

    it('O16: both ends of the range that a plan shows are taken as they are printed', async () => {
      const { reachableTo, reachableFrom } = await history.outline({ kind: 'latest' });
      await history.outline({ kind: 'time', time: reachableTo ?? '' });
      // Where everything was committed in the second in which the backup ended there is no range.
      if ((reachableFrom ?? '') < (reachableTo ?? ''))
        await history.outline({ kind: 'time', time: (reachableFrom ?? '').replace(/\.\d+Z$/, 'Z') });
    });

    it('F23: a segment missing in the middle is named; before it all is well', async () => {
      await takeAway(lastSegment);
      const refused = { code: 'wal-gap', message: expect.stringContaining(lastSegment) as unknown };
      await expect(history.outline({ kind: 'latest' })).rejects.toMatchObject(refused);
      await expect(history.outline({ kind: 'time', time: history.point('three').time })).rejects.toMatchObject(refused);
      expect(await history.outline({ kind: 'lsn', lsn: history.point('one').lsn })).toMatchObject({
        timeline: 1,
        walEnd: null,
      });
      expect(await history.outline({ kind: 'end-of-backup' })).toMatchObject({ timeline: 1 });
    });

    it('F15, F23: of a damaged last segment only what lies in it is lost, which the plan says, and up to it all is recovered', async () => {
      const file = await fixture.recovery.archivedFile(newest);
      const content = await readFile(file);
      undo.push(() => writeFile(file, content));
      await writeFile(file, content.subarray(0, Math.floor(content.length / 2)));
      const latest = history.outline({ kind: 'latest' });
      if (fixture.recovery.writesInPlace)
        expect((await latest).warnings).toContainEqual(expect.stringContaining(newest));
      else
        await expect(latest).rejects.toMatchObject({
          code: 'wal-gap',
          message: expect.stringContaining(newest) as unknown,
          hint: expect.stringMatching(/the latest recoverable time is \d{4}-\S+ \(lsn:/) as unknown,
        });
      const { reachableTo, warnings } = await history.outline({ kind: 'lsn', lsn: history.point('one').lsn });
      expect(warnings).toContainEqual(expect.stringContaining(newest));
      expect(await history.recoveredContent({ kind: 'time', time: reachableTo ?? '' })).toBe(
        history.point('two').content,
      );
    });

    it('F23, F7: a backup whose own WAL is missing is not offered, and not verified', async () => {
      const stop = backup.wal?.stop ?? '';
      await takeAway(stop);
      await expect(history.outline({ kind: 'end-of-backup' })).rejects.toMatchObject({
        code: 'wal-gap',
        message: expect.stringContaining(stop) as unknown,
      });
      expect(await fixture.engine.verify(await history.newContext(), backup)).toMatchObject({
        ok: false,
        detail: expect.stringContaining(stop) as unknown,
      });
    });

    it('F17: a backup that is recorded as of another cluster is refused', async () => {
      const server = { versionNum: backup.server?.versionNum ?? 0, systemIdentifier: '7000000000000000001' };
      await expect(history.outline({ kind: 'latest' }, { candidates: [{ ...backup, server }] })).rejects.toMatchObject({
        code: 'identity-mismatch',
      });
    });

    it('F13: a backup that the storage does not have is not offered', async () => {
      await expect(
        history.outline({ kind: 'latest' }, { candidates: [{ ...backup, label: 'never_made' }] }),
      ).rejects.toMatchObject({ code: 'no-usable-backup' });
    });

    it('D2: a copy that was thrown away is restored anew by the next attempt of its operation', async () => {
      const root = await tempDir('thrown-away');
      const [dataDir, tablespaceDir] = [join(root, 'data'), join(root, 'tablespaces')];
      for (const _attempt of [1, 2]) {
        const context = await fixture.context('thrown away');
        await fixture.engine.physical?.restoreFiles(context, {
          ...(await bound(fixture.engine, context, backup)),
          dataDir,
          tablespaceDir,
        });
        expect((await stat(join(dataDir, 'global', 'pg_control'))).size).toBe(8192);
        expect((await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim()).toBe('15');
        await rm(dataDir, { recursive: true });
      }
    });

    it('G1: nothing is restored but what is bound: another hash and a missing one are refused, and nothing is written', async () => {
      const root = await tempDir('bound');
      const context = await fixture.context('bound');
      const { content } = await bound(fixture.engine, context, backup);
      expect(Object.values(content)).not.toEqual([]);
      for (const [name, hash] of Object.entries(content)) {
        expect(hash).toMatch(/^[0-9a-f]{64}$/);
        const { [name]: _left, ...others } = content;
        for (const [changed, code] of [
          [{ ...content, [name]: 'f'.repeat(64) }, 'backup-corrupt'],
          [others, 'plan-stale'],
        ] as const) {
          const dataDir = join(root, 'data');
          const place = { dataDir, tablespaceDir: join(root, 'tablespaces') };
          await expect(
            fixture.engine.physical?.restoreFiles(context, { backup, content: changed, ...place }),
          ).rejects.toMatchObject({ code });
          await expect(stat(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
        }
      }
      // What was recorded when it was made is not what is there.
      await expect(fixture.engine.bindBackup(context, { ...backup, sha256: 'f'.repeat(64) }, [])).rejects.toMatchObject(
        { code: 'backup-corrupt', details: { damagedBackup: backup.id } },
      );
    });

    it('W9, W10: an invalid database and unlogged, temporary and foreign tables keep no backup from being restore-tested and promoted', async () => {
      const { engine, context, recovery } = fixture;
      await expectOddDatabasesHarmless({ engine, context, server: recovery.source });
    });

    it('K2: a directory that holds files of somebody else is never restored into', async () => {
      const context = await history.newContext();
      const approved = await bound(fixture.engine, context, backup);
      await expect(
        fixture.engine.physical?.restoreFiles(context, {
          ...approved,
          dataDir: fixture.stateDir,
          tablespaceDir: `${fixture.stateDir}/tablespaces`,
        }),
      ).rejects.toMatchObject({ code: 'path-refused' });
    });
  });
}
