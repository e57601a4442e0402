import { beforeAll, describe, expect, it } from '@jest/globals';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Backup } from '../../src/domain/backup/backup.js';
import type { RepriseError } from '../../src/domain/errors.js';
import type { RecoveryTarget } from '../../src/domain/target/target.js';
import type { TimelineChoice } from '../../src/domain/target/timeline-choice.js';
import { compareLsn } from '../../src/domain/target/wal.js';
import type { Engine, EngineContext, RecoveryOutline } from '../../src/engines/engine.js';
import { runProgram } from '../../src/process/exec/run-program.js';
import { jobUser } from '../../src/process/exec/users.js';
import { rearmArchiving } from '../../src/postgres/wal/archiving.js';
import { giveToPostgres } from '../helpers/postgres-user.js';
import { recoverBeside } from '../helpers/recovered.js';
import { oneRow, RecoveryHistory, type Point } from '../helpers/recovery-history.js';
import { runQuery, type ScratchCluster, type ServerAddress } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';

/** A cluster that archives with an engine. */
export interface TargetsSource {
  readonly engine: Engine;
  readonly cluster: ScratchCluster;
  context(operationId: string): Promise<EngineContext>;
  /** A file of the archive; only of sources that are gone through thoroughly. */
  archived?(name: string): string;
}

/**
 * Where a recovery stops, and on which timeline: one cluster in which databases are dropped, names are used twice and
 * savepoints are released, and which is then recovered to an earlier point. The same for every engine that keeps WAL.
 * @param thorough also what is the engine's own least is recovered, and not only planned
 */
export function targetsContract(
  name: string,
  start: () => Promise<TargetsSource>,
  { thorough = false }: { readonly thorough?: boolean } = {},
): void {
  describe(`targets: ${name}`, () => {
    let source: TargetsSource;
    let history: RecoveryHistory;
    /** After the recovery: what it promoted, on timeline 2. */
    let later: RecoveryHistory;
    let backup: Backup;
    /** By name: just before and in the middle of dropping a database, a transaction of savepoints. */
    const noted = new Map<string, Point>();
    let drop: Awaited<ReturnType<typeof dropFirst>>;
    let parts: Awaited<ReturnType<typeof savepoints>> & { readonly content: string };
    let middle: Awaited<ReturnType<typeof commitInMidDrop>>;
    let twice: { readonly first: string; readonly at: number };
    /** A transaction that only timeline 1 has, and an instant after it when nothing was promoted yet. */
    let [lost, beforePromotion, end] = ['', '', ''];
    /** Instants of timeline 2 before anything was committed there: what they come to, and what the first after all WAL does. */
    let promoted: { readonly at: RecoveryOutline; readonly after: unknown };
    let [rolledBack, named] = ['', ''];
    let uncommittedTimes: readonly RecoveryOutline[] = [];

    const outline = async (target: RecoveryTarget, timeline?: TimelineChoice): Promise<RecoveryOutline> =>
      source.engine.outlineRecovery(await source.context(`outline ${Math.random()}`), {
        target,
        timeline,
        candidates: [backup],
        oldDataDir: null,
        databases: [],
      });
    const timeTarget = (time: string): RecoveryTarget => ({ kind: 'time', time });
    const now = async (server: ServerAddress): Promise<string> =>
      (
        await oneRow(
          server,
          `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time`,
        )
      )['time'] ?? '';

    /** What a real recovery comes to: the rows of the table, and the databases that one can connect to. */
    async function recovered(
      target: RecoveryTarget,
      timeline?: TimelineChoice,
    ): Promise<{ content: string; databases: string[] }> {
      const context = await source.context(`recovered ${Math.random()}`);
      const server = await recoverBeside(context, await outline(target, timeline), { engine: source.engine });
      try {
        const names = await runQuery(
          server,
          'postgres',
          `SELECT datname FROM pg_database WHERE datname ~ '^(first|second)$' ORDER BY 1`,
        );
        const databases = (names.rows as { datname: string }[]).map(({ datname }) => datname);
        for (const database of databases) await runQuery(server, database, 'SELECT count(*) FROM pg_class');
        return { content: await history.contentOf(server), databases };
      } finally {
        await server.remove();
      }
    }

    beforeAll(async () => {
      source = await start();
      const { cluster, engine } = source;
      // W6: what a recovery by hand left is in every backup, and stops none of the recoveries below.
      await mkdir(join(cluster.dataDir, 'conf.d'));
      await writeFile(join(cluster.dataDir, 'conf.d', 'left.conf'), "recovery_target_xid = '3'\n");
      for (const path of ['conf.d', 'conf.d/left.conf']) await giveToPostgres(join(cluster.dataDir, path));
      await cluster.configure({ include_dir: 'conf.d' });
      await runQuery(cluster, 'postgres', "ALTER SYSTEM SET recovery_target_xid = '4'");
      history = new RecoveryHistory({ engine, server: cluster, context: source.context });
      await history.begin();
      ({ backup } = history);
      const query = (sql: string) => runQuery(cluster, 'postgres', sql);
      const note = async (as: string): Promise<void> => void noted.set(as, await history.commit(as));

      await query('CREATE DATABASE first');
      await query('CREATE DATABASE second');
      await note('whole');
      drop = await dropFirst(cluster);
      await note('dropped');
      middle = await commitInMidDrop(cluster, () => now(cluster));

      await query(`SELECT pg_create_restore_point('twice')`);
      twice = { first: await history.contentOf(cluster), at: Date.now() };
      await note('between');
      await query(`SELECT pg_create_restore_point('twice')`);
      parts = { ...(await savepoints(cluster)), content: await history.contentOf(cluster) };
      await note('parts');
      await history.archive();

      const context = await source.context('back');
      const point = await outline({ kind: 'name', name: 'after between' });
      await note('abandoned');
      for (const _more of [1, 2, 3, 4, 5, 6]) ({ xid: lost } = await history.commit('lost'));
      end = await history.contentOf(cluster);
      await history.archive();
      beforePromotion = await now(cluster);
      const server = await recoverBeside(context, point, { engine, clone: false });
      await cluster.stop();
      await server.promote();
      await rearmArchiving(
        { ...context.cluster.connection, host: '127.0.0.1', port: server.port },
        // In place the configuration of pgBackRest names the directory; this one is another.
        (engine.physical?.archiveCommand(context) ?? '').replace(' archive-push', ' --pg1-path="$PWD" archive-push'),
      );
      later = new RecoveryHistory({ engine, server, context: source.context });
      // No commit, and something that a switch of the segment ends.
      await runQuery(server, 'postgres', "SELECT pg_logical_emit_message(false, 'test', 'promoted')");
      await later.archive();
      promoted = {
        at: await outline(timeTarget(beforePromotion), 2),
        after: await outline(timeTarget(await now(server)), 2).catch((error: unknown) => error),
      };
      [rolledBack, named] = await uncommitted(server, () => now(server));
      await later.archive();
      uncommittedTimes = [await outline(timeTarget(rolledBack), 2), await outline(timeTarget(named), 2)];
      noted.set('onward', await later.commit('onward'));
      await later.archive();
    });

    const point = (as: string): Point => {
      const found = noted.get(as);
      if (found === undefined) throw new Error(`nothing was noted as ${as}`);
      return found;
    };
    const lsnOf = ({ target }: RecoveryOutline): string => (target.kind === 'lsn' ? target.lsn : '');

    it('W3, F48, W6: a time just before DROP DATABASE comes back with the database: the replay stops at the last commit', async () => {
      const target = timeTarget(point('whole').time);
      const found = await outline(target, 1);
      expect(found).toMatchObject({ target: { kind: 'lsn' }, stateAt: point('whole').time });
      expect(Date.parse(found.lastCommitAt ?? '')).toBeLessThanOrEqual(Date.parse(point('whole').time));
      expect(compareLsn(lsnOf(found), drop.began)).toBeLessThan(0);
      expect(await recovered(target, 1)).toEqual({ content: point('whole').content, databases: ['first', 'second'] });
    });

    it('W3, F48: so does a position within the drop, and before-xid of the drop itself; with the drop, it is gone', async () => {
      const whole = lsnOf(await outline(timeTarget(point('whole').time), 1));
      expect(lsnOf(await outline({ kind: 'lsn', lsn: drop.removal }, 1))).toBe(whole);
      expect(lsnOf(await outline({ kind: 'before-xid', xid: drop.xid }, 1))).toBe(whole);
      if (thorough) expect(await recovered({ kind: 'xid', xid: drop.xid }, 1)).toMatchObject({ databases: ['second'] });
    });

    it('W3: where others committed while a database was dropped, both ways are named and none is taken', async () => {
      for (const target of [timeTarget(middle.time), { kind: 'xid', xid: middle.xid } as const]) {
        const refused = await outline(target, 1).catch((error: unknown) => error);
        expect(refused).toMatchObject({
          code: 'target-ambiguous',
          message: expect.stringContaining(`DROP DATABASE by transaction ${middle.dropping}`) as unknown,
          hint: expect.stringMatching(/--to lsn:\S+ .*--to xid:\d+/) as unknown,
        });
      }
    });

    it('W7: a name that was used twice is refused with both places; one that was used once shows when', async () => {
      const refused = (await outline({ kind: 'name', name: 'twice' }, 1).catch(
        (error: unknown) => error,
      )) as RepriseError;
      expect(refused.code).toBe('target-ambiguous');
      const [first = '', second = ''] = [...(refused.hint ?? '').matchAll(/lsn:([0-9A-F/]+)/g)].map(([, lsn]) => lsn);
      expect(refused.message).toMatch(/, of \d{4}-.*, of \d{4}-/);
      expect(compareLsn(first, second)).toBeLessThan(0);
      if (thorough) expect(await recovered({ kind: 'lsn', lsn: first }, 1)).toMatchObject({ content: twice.first });
      const { stateAt } = await outline({ kind: 'name', name: 'after between' }, 1);
      expect(Date.parse(stateAt ?? '')).toBeGreaterThan(twice.at);
      expect(Date.parse(stateAt ?? '')).toBeLessThanOrEqual(Date.parse(point('between').time));
    });

    it('W7: the id of a savepoint is that of its transaction, and before-xid stops before it', async () => {
      const whole = await outline({ kind: 'xid', xid: parts.outer }, 1);
      const part = await outline({ kind: 'xid', xid: parts.released }, 1);
      expect(part).toMatchObject({ target: whole.target, stateAt: whole.stateAt });
      expect(part.warnings).toContainEqual(expect.stringContaining(`transaction ${parts.outer}`));
      if (thorough)
        expect(await recovered({ kind: 'xid', xid: parts.released }, 1)).toMatchObject({ content: parts.content });
      const before = await outline({ kind: 'before-xid', xid: parts.released }, 1);
      expect(before.lastCommitAt).toBe((await outline({ kind: 'name', name: 'before parts' }, 1)).lastCommitAt);
      expect(compareLsn(lsnOf(before), lsnOf(whole))).toBeLessThan(0);
      const undone = await outline({ kind: 'xid', xid: parts.undone }, 1);
      expect(undone.warnings).toContainEqual(expect.stringContaining('was rolled back'));
    });

    it('W4, F49: an instant of the timeline that was left is refused with both readings, and each is reached by its name', async () => {
      const target = timeTarget(point('abandoned').time);
      await expect(outline(target)).rejects.toMatchObject({
        code: 'target-ambiguous',
        message: expect.stringMatching(/on timeline 2 .*on timeline 1 /) as unknown,
        hint: expect.stringMatching(/--timeline 2, or --to \S+ --timeline 1/) as unknown,
      });
      expect(await recovered(target, 1)).toMatchObject({ content: point('abandoned').content });
      expect(await recovered(target, 'latest')).toMatchObject({ content: point('between').content });
      expect(await outline(target, 'backup')).toMatchObject({ timeline: 1, history: { newest: 2 } });
      // Between its last commit and the promotion neither is known to be meant.
      await expect(outline(timeTarget(beforePromotion))).rejects.toMatchObject({ code: 'target-ambiguous' });
      await expect(outline({ kind: 'latest' }, 3)).rejects.toMatchObject({ code: 'not-found' });
    });

    it('W4: what is before both is asked of nobody, and what is after the promotion is on the newest', async () => {
      const shared = await outline(timeTarget(point('whole').time));
      expect(shared).toMatchObject({
        timeline: 2,
        history: {
          newest: 2,
          path: [
            { timeline: 1, until: expect.any(String) as unknown },
            { timeline: 2, until: null },
          ],
        },
      });
      expect(shared.target).toEqual((await outline(timeTarget(point('whole').time), 1)).target);
      expect(await outline({ kind: 'latest' })).toMatchObject({ timeline: 2 });
      if (thorough) expect(await recovered({ kind: 'latest' }, 1)).toMatchObject({ content: end });
      const { time } = point('onward');
      await later.commit('last');
      await later.archive();
      if (thorough) expect(await recovered(timeTarget(time))).toMatchObject({ content: point('onward').content });
    });

    it('W4: an instant at which nothing was committed any more is reached where the WAL tells of a later one: a promotion, a rollback, a restore point', async () => {
      const { target, lastCommitAt } = await outline(timeTarget(point('between').time), 2);
      for (const found of [promoted.at, ...uncommittedTimes])
        expect(found).toMatchObject({ timeline: 2, target, lastCommitAt });
      expect(promoted.after).toMatchObject({ code: 'target-after-wal' });
      const [, latest = ''] =
        /latest recoverable time is (\S+Z)/.exec((promoted.after as RepriseError).hint ?? '') ?? [];
      expect(Date.parse(latest)).toBeGreaterThanOrEqual(Date.parse(beforePromotion));
    });

    it('W6: a transaction, a name or a position beyond the switch belongs to its timeline, or is refused', async () => {
      const { xid, lsn } = point('abandoned');
      for (const target of [
        { kind: 'name', name: 'after abandoned' },
        { kind: 'xid', xid: lost },
      ] as const) {
        await expect(outline(target)).rejects.toMatchObject({
          code: 'target-after-wal',
          message: expect.stringContaining('on timeline 1') as unknown,
          hint: expect.stringContaining('--timeline 1') as unknown,
        });
        expect(await outline(target, 1)).toMatchObject({ timeline: 1 });
      }
      expect(await outline({ kind: 'xid', xid }, 1)).toMatchObject({ timeline: 1 });
      await expect(outline({ kind: 'name', name: 'after abandoned' }, 2)).rejects.toMatchObject({
        code: 'target-after-wal',
      });
      // Both timelines gave the same id to a transaction of their own.
      await expect(outline({ kind: 'xid', xid: point('onward').xid })).rejects.toMatchObject({
        code: 'target-ambiguous',
        hint: expect.stringMatching(/--timeline 2.*--timeline 1/) as unknown,
      });
      await expect(outline({ kind: 'lsn', lsn })).rejects.toMatchObject({
        hint: expect.stringContaining('--timeline 1') as unknown,
      });
    });

    if (thorough)
      it('W5, F49: without the history of the newest timeline latest is refused, and the older one is not taken for it', async () => {
        const file = source.archived?.('00000002.history') ?? '';
        await rename(file, `${file}.lost`);
        try {
          await expect(outline({ kind: 'latest' })).rejects.toMatchObject({
            code: 'wal-gap',
            message: expect.stringMatching(
              /^WAL of timeline 2 is in the archive .*00000002\.history is missing/,
            ) as unknown,
          });
          const { timeline, warnings } = await outline({ kind: 'lsn', lsn: point('whole').lsn });
          expect(timeline).toBe(1);
          expect(warnings.join()).toContain('00000002.history is missing: nothing of it is recovered');
        } finally {
          await rename(`${file}.lost`, file);
        }
      });
  });
}

/** A transaction that is rolled back, then a restore point; returns an instant before each. */
async function uncommitted(server: ServerAddress, now: () => Promise<string>): Promise<[string, string]> {
  const beforeRollback = await now();
  await runQuery(server, 'postgres', "BEGIN; INSERT INTO rdv (what) VALUES ('undone'); ROLLBACK");
  const beforePoint = await now();
  await runQuery(server, 'postgres', "SELECT pg_create_restore_point('nothing new')");
  return [beforeRollback, beforePoint];
}

/** Drops a database, alone. */
async function dropFirst(cluster: ScratchCluster): Promise<{ xid: string; began: string; removal: string }> {
  const { xid = '', lsn: began = '' } = await oneRow(
    cluster,
    'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid, pg_current_wal_insert_lsn()::text AS lsn',
  );
  await runQuery(cluster, 'postgres', 'DROP DATABASE first');
  const { lsn: end = '' } = await oneRow(cluster, 'SELECT pg_current_wal_flush_lsn()::text AS lsn');
  const { stdout } = await runProgram(
    [
      join(cluster.binDir, 'pg_waldump'),
      '-p',
      join(cluster.dataDir, 'pg_wal'),
      '-s',
      began,
      '-e',
      end,
      '--rmgr',
      'Database',
    ],
    { user: await jobUser(cluster.dataDir), acceptCodes: [0, 1] },
  );
  return { xid, began, removal: /lsn: (\S+), .* desc: DROP/.exec(stdout)?.[1] ?? '' };
}

/** Drops a database while another transaction commits: the checkpoint that a drop waits for is held up. */
async function commitInMidDrop(
  cluster: ScratchCluster,
  now: () => Promise<string>,
): Promise<{ time: string; xid: string; dropping: string }> {
  const { pid = '' } = await oneRow(
    cluster,
    "SELECT pid::text FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
  );
  const { xid: dropping = '' } = await oneRow(cluster, 'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid');
  process.kill(Number(pid), 'SIGSTOP');
  try {
    const dropped = runQuery(cluster, 'postgres', 'DROP DATABASE second');
    await until(async () => {
      const { waits } = await oneRow(
        cluster,
        "SELECT count(*)::text AS waits FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE second' AND wait_event LIKE 'Checkpoint%'",
      );
      return waits === '1';
    }, 'the drop waits for its checkpoint');
    const { xid = '' } = await oneRow(
      cluster,
      "INSERT INTO rdv (what) VALUES ('meanwhile') RETURNING pg_current_xact_id()::text AS xid",
    );
    const time = await now();
    process.kill(Number(pid), 'SIGCONT');
    await dropped;
    return { time, xid, dropping };
  } finally {
    process.kill(Number(pid), 'SIGCONT');
  }
}

/** A transaction with a savepoint that is released and one that is undone. */
async function savepoints(cluster: ScratchCluster): Promise<{ outer: string; released: string; undone: string }> {
  const client = new pg.Client({ host: cluster.host, port: cluster.port, user: cluster.user, database: 'postgres' });
  await client.connect();
  const insert = async (what: string): Promise<string> =>
    (await client.query<{ xid: string }>(`INSERT INTO rdv (what) VALUES ($1) RETURNING xmin::text AS xid`, [what]))
      .rows[0]?.xid ?? '';
  try {
    await client.query("SELECT pg_create_restore_point('before parts')");
    await client.query('BEGIN');
    const outer = await insert('outer');
    await client.query('SAVEPOINT a');
    const released = await insert('released');
    await client.query('RELEASE SAVEPOINT a; SAVEPOINT b');
    const undone = await insert('undone');
    await client.query('ROLLBACK TO SAVEPOINT b');
    await client.query('COMMIT');
    return { outer, released, undone };
  } finally {
    await client.end();
  }
}
