import { rename } from 'node:fs/promises';
import { expect } from '@jest/globals';
import type { Backup } from '../../src/domain/backup/backup.js';
import type { RecoveryTarget } from '../../src/domain/target/target.js';
import type { Engine, EngineContext, RecoveryOutline } from '../../src/engines/engine.js';
import { onlyBackup } from '../contract/as-backup.js';
import { recoverBeside } from './recovered.js';
import { runQuery } from './postgres.js';
import type { ServerAddress } from './postgres.js';
import { archiveSegment } from './wal-segment.js';

/** A point in the source's life: how to name it, and what the table held then. */
export interface Point {
  readonly time: string;
  readonly lsn: string;
  readonly xid: string;
  readonly content: string;
}

export const oneRow = async (server: ServerAddress, sql: string): Promise<Record<string, string>> =>
  (await runQuery(server, 'postgres', sql)).rows[0] as Record<string, string>;

export interface Source {
  readonly engine: Engine;
  readonly server: ServerAddress;
  context(operationId: string): Promise<EngineContext>;
}

/** A table `rdv` whose history is known point by point, and a backup from before the first of them. */
export class RecoveryHistory {
  private readonly points = new Map<string, Point>();
  private operations = 0;
  private made: Backup | undefined;

  constructor(private readonly source: Source) {}

  get backup(): Backup {
    if (this.made === undefined) throw new Error('no backup was made');
    return this.made;
  }

  point(name: string): Point {
    const found = this.points.get(name);
    if (found === undefined) throw new Error(`nothing was committed as ${name}`);
    return found;
  }

  newContext(): Promise<EngineContext> {
    return this.source.context(`recovery ${this.operations++}`);
  }

  /** Makes the table, a thousand rows of it, and then the backup. */
  async begin({ tablespace }: { readonly tablespace?: string } = {}): Promise<void> {
    const { engine, server } = this.source;
    const where = tablespace === undefined ? '' : ` TABLESPACE "${tablespace}"`;
    await runQuery(
      server,
      'postgres',
      `CREATE TABLE rdv (n bigint GENERATED ALWAYS AS IDENTITY, what text)${where}; INSERT INTO rdv (what) SELECT n::text FROM generate_series(1, 1000) n`,
    );
    const context = await this.newContext();
    await engine.preflightBackup(context);
    this.made = onlyBackup(await engine.backup(context, { type: 'full', startedAt: new Date().toISOString() }));
    // Some engines know the backup's end to the second only.
    await runQuery(server, 'postgres', 'SELECT pg_sleep(1.1)');
  }

  /** Commits one row, and notes the point just after it, which has a name: `after NAME`. */
  async commit(name: string): Promise<Point> {
    const { server } = this.source;
    const { xid = '' } = await oneRow(
      server,
      `INSERT INTO rdv (what) VALUES ('${name}') RETURNING pg_current_xact_id()::text AS xid`,
    );
    const { lsn = '', time = '' } = await oneRow(
      server,
      `SELECT pg_create_restore_point('after ${name}'), pg_current_wal_insert_lsn()::text AS lsn,
              to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time`,
    );
    const point = { xid, time, lsn, content: await this.contentOf(server) };
    this.points.set(name, point);
    return point;
  }

  /** Closes the segment of what was committed, waits until it is archived, and returns its name. */
  archive(): Promise<string> {
    return archiveSegment(this.source.server);
  }

  async contentOf(server: ServerAddress): Promise<string> {
    return (
      (
        await oneRow(server, `SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY n)) AS content FROM rdv t`)
      )['content'] ?? ''
    );
  }

  async outline(
    target: RecoveryTarget,
    {
      oldDataDir = null,
      context,
      candidates = [this.backup],
    }: { oldDataDir?: string | null; context?: EngineContext; candidates?: readonly Backup[] } = {},
  ): Promise<RecoveryOutline> {
    return this.source.engine.outlineRecovery(context ?? (await this.newContext()), {
      target,
      candidates,
      oldDataDir,
      databases: [],
    });
  }

  /** What the table holds after a real recovery beside the source. */
  async recoveredContent(
    target: RecoveryTarget,
    { oldDataDir = null, salvageDir = null }: { oldDataDir?: string | null; salvageDir?: string | null } = {},
  ): Promise<string> {
    const { engine } = this.source;
    const context = await this.newContext();
    const recovered = await recoverBeside(context, await this.outline(target, { oldDataDir, context }), {
      salvageDir,
      engine,
    });
    const content = await this.contentOf(recovered);
    await recovered.remove();
    return content;
  }
}

/** W5: without the file of the second timeline's history, the first is not taken for the latest. */
export async function requireSecondHistory(history: RecoveryHistory, file: string): Promise<void> {
  await rename(file, `${file}.lost`);
  try {
    await expect(history.outline({ kind: 'latest' })).rejects.toMatchObject({
      code: 'wal-gap',
      message: expect.stringMatching(/^WAL of timeline 2 is in the archive .*00000002\.history is missing/) as unknown,
      hint: expect.stringContaining('put a copy of 00000002.history into the archive') as unknown,
    });
    const { timeline, warnings } = await history.outline({ kind: 'lsn', lsn: history.point('first').lsn });
    expect(timeline).toBe(1);
    expect(warnings.join()).toContain('00000002.history is missing: nothing of it is recovered');
  } finally {
    await rename(`${file}.lost`, file);
  }
  expect((await history.outline({ kind: 'latest' })).timeline).toBe(2);
}
