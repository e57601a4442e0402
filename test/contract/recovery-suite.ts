import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../src/domain/backup.js';
import type { RecoveryTarget } from '../../src/domain/target.js';
import type { EngineContext, RecoveryOutline } from '../../src/engines/engine.js';
import { recoverBeside } from '../helpers/pgbackrest.js';
import { runQuery } from '../helpers/postgres.js';
import type { ServerAddress } from '../helpers/postgres.js';
import { asBackup } from './as-backup.js';
import type { EngineFixture } from './engine-suite.js';

/** What the recovery part needs of an engine that restores data directories. */
export interface RecoveryFixture {
  /** The source, whose WAL is archived all the while. */
  readonly source: ServerAddress;
  /** File of an archived segment. */
  archivedFile(segment: string): Promise<string>;
  /** It takes a last segment that cannot be unpacked for one that was cut off while it was written: there the log ends. */
  readonly writesInPlace?: true;
}

interface Point {
  readonly time: string;
  readonly lsn: string;
  readonly xid: string;
}

/** Recovery to every kind of target, and what is refused before anything is changed: the same for all engines that keep WAL. */
export function recoveryContract(fixtureOf: () => EngineFixture): void {
  describe('K2, S3: recovery', () => {
    let backup: Backup;
    let point: Point;
    let lastSegment: string;
    let newest: string;
    let fixture: EngineFixture & { readonly recovery: RecoveryFixture };
    let operations = 0;

    const newContext = (changed?: Partial<EngineContext>): Promise<EngineContext> => fixture.context(`recovery ${operations++}`, changed);
    const row = async (server: ServerAddress, sql: string): Promise<Record<string, string>> => (await runQuery(server, 'postgres', sql)).rows[0] as Record<string, string>;
    const rows = async (server: ServerAddress): Promise<string> => (await row(server, `SELECT string_agg(what, ' ' ORDER BY n) AS rows FROM targets`))['rows'] ?? '';
    const outline = async (target: RecoveryTarget, context?: EngineContext, candidate = backup): Promise<RecoveryOutline> =>
      fixture.engine.outlineRecovery(context ?? (await newContext()), { target, candidates: [candidate], oldDataDir: null, databases: [] });

    /** Commits one row, notes the point just after it, and has it archived. */
    async function commit(name: string): Promise<{ point: Point; segment: string }> {
      const { source } = fixture.recovery;
      const { xid = '' } = await row(source, `INSERT INTO targets (what) VALUES ('${name}') RETURNING pg_current_xact_id()::text AS xid`);
      const { lsn = '', time = '' } = await row(
        source,
        `SELECT pg_create_restore_point('after ${name}'), pg_current_wal_insert_lsn()::text AS lsn,
                to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time`,
      );
      const { segment = '' } = await row(source, 'SELECT pg_walfile_name(pg_switch_wal()) AS segment');
      for (let archived = ''; archived < segment; ) {
        archived = (await row(source, `SELECT coalesce(last_archived_wal, '') AS archived FROM pg_stat_archiver`))['archived']?.slice(0, 24) ?? '';
      }
      return { point: { xid, lsn, time }, segment };
    }

    /** Out of the archive's directory: some tools take a file for a segment whatever follows its name. */
    async function takeAway(segment: string): Promise<() => Promise<void>> {
      const file = await fixture.recovery.archivedFile(segment);
      const away = join(fixture.stateDir, 'taken-away');
      await rename(file, away);
      return () => rename(away, file);
    }

    beforeAll(async () => {
      const { recovery, ...rest } = fixtureOf();
      if (recovery === undefined) throw new Error('this fixture has no part for recoveries');
      fixture = { ...rest, recovery };
      await runQuery(recovery.source, 'postgres', 'CREATE TABLE targets (n bigint GENERATED ALWAYS AS IDENTITY, what text)');
      const context = await newContext();
      await fixture.engine.preflightBackup(context);
      const [made] = await fixture.engine.backup(context, { type: 'full', startedAt: new Date().toISOString() });
      if (made === undefined) throw new Error('no backup was made');
      backup = asBackup(made);
      // Some engines know the backup's end to the second only.
      await runQuery(recovery.source, 'postgres', 'SELECT pg_sleep(1.1)');
      ({ point } = await commit('one'));
      ({ segment: lastSegment } = await commit('two'));
      ({ segment: newest } = await commit('three'));
    }, 300_000);

    it.each<[string, string, () => RecoveryTarget]>([
      ['time', 'one', () => ({ kind: 'time', time: point.time })],
      ['lsn', 'one', () => ({ kind: 'lsn', lsn: point.lsn })],
      ['xid', 'one', () => ({ kind: 'xid', xid: point.xid })],
      ['name', 'one', () => ({ kind: 'name', name: 'after one' })],
      ['latest', 'one two three', () => ({ kind: 'latest' })],
    ])('to %s', async (_, expected, target) => {
      const context = await newContext();
      const recovered = await recoverBeside(context, await outline(target(), context), { engine: fixture.engine });
      expect(await rows(recovered)).toBe(expected);
      await recovered.remove();
    });

    it('F24: a target before the end of the earliest backup is refused, and that backup named', async () => {
      const time = new Date(Date.parse(backup.startedAt) - 1000).toISOString();
      await expect(outline({ kind: 'time', time })).rejects.toMatchObject({ code: 'target-before-backup', message: expect.stringContaining(backup.label) as unknown });
      await expect(outline({ kind: 'lsn', lsn: '0/1000000' })).rejects.toMatchObject({ code: 'target-before-backup' });
    });

    it('F25: a target after the last WAL is refused, and the latest instant named', async () => {
      const refused = { code: 'target-after-wal', hint: expect.stringMatching(/latest instant that can be reached is \d{4}-/) as unknown };
      await expect(outline({ kind: 'time', time: new Date(Date.now() + 3_600_000).toISOString() })).rejects.toMatchObject(refused);
      await expect(outline({ kind: 'lsn', lsn: 'F/0' })).rejects.toMatchObject(refused);
      await expect(outline({ kind: 'name', name: 'never made' })).rejects.toMatchObject(refused);
      await expect(outline({ kind: 'xid', xid: '4000000' })).rejects.toMatchObject(refused);
    });

    it('F23: a segment missing in the middle is named; before it all is well', async () => {
      const putBack = await takeAway(lastSegment);
      try {
        await expect(outline({ kind: 'latest' })).rejects.toMatchObject({ code: 'wal-gap', message: expect.stringContaining(lastSegment) as unknown });
        expect(await outline({ kind: 'lsn', lsn: point.lsn })).toMatchObject({ walEnd: null });
      } finally {
        await putBack();
      }
    });

    it('F15, F23: of a damaged last segment only what lies in it is lost, which the plan says, and up to it all is recovered', async () => {
      const file = await fixture.recovery.archivedFile(newest);
      const content = await readFile(file);
      try {
        await writeFile(file, content.subarray(0, Math.floor(content.length / 2)));
        const latest = outline({ kind: 'latest' });
        if (fixture.recovery.writesInPlace) expect((await latest).warnings).toContainEqual(expect.stringContaining(newest));
        else await expect(latest).rejects.toMatchObject({ code: 'wal-gap', message: expect.stringContaining(newest) as unknown, hint: expect.stringMatching(/the latest instant that can be reached is \d{4}-\S+ \(lsn:/) as unknown });
        const context = await newContext();
        const { reachableTo, warnings } = await outline({ kind: 'lsn', lsn: point.lsn }, context);
        expect(warnings).toContainEqual(expect.stringContaining(newest));
        const recovered = await recoverBeside(context, await outline({ kind: 'time', time: reachableTo ?? '' }, context), { engine: fixture.engine });
        expect(await rows(recovered)).toBe('one two');
        await recovered.remove();
      } finally {
        await writeFile(file, content);
      }
    });

    it('F23, F7: a backup whose own WAL is missing is not offered, and not verified', async () => {
      const putBack = await takeAway(backup.wal?.stop ?? '');
      try {
        await expect(outline({ kind: 'end-of-backup' })).rejects.toMatchObject({ code: 'wal-gap' });
        expect(await fixture.engine.verify(await newContext(), backup)).toMatchObject({ ok: false, detail: expect.stringContaining(backup.wal?.stop ?? '') as unknown });
      } finally {
        await putBack();
      }
    });

    it('F17: a backup that is recorded as of another cluster is refused', async () => {
      const server = { versionNum: backup.server?.versionNum ?? 0, systemIdentifier: '7000000000000000001' };
      await expect(outline({ kind: 'latest' }, undefined, { ...backup, server })).rejects.toMatchObject({ code: 'identity-mismatch' });
    });

    it('F13: a backup that the storage does not have is not offered', async () => {
      await expect(outline({ kind: 'latest' }, undefined, { ...backup, label: 'never_made' })).rejects.toMatchObject({ code: 'no-usable-backup' });
    });

    it('K2: a directory that holds files of somebody else is never restored into', async () => {
      const context = await newContext();
      await expect(fixture.engine.physical?.restoreFiles(context, { backup, dataDir: fixture.stateDir, tablespaceDir: `${fixture.stateDir}/tablespaces` })).rejects.toMatchObject({ code: 'path-refused' });
    });
  });
}
