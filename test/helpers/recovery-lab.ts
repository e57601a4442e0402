import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../src/domain/config.js';
import { serviceOf } from '../../src/postgres/server/service.js';
import type { Service } from '../../src/postgres/server/service.js';
import type { OsUser } from '../../src/process/jobs/jobs.js';
import { jobUser } from '../../src/process/exec/users.js';
import { onCleanup } from './cleanup.js';
import { freePort } from './ports.js';
import { giveToPostgres, runAsPostgres } from './postgres-user.js';
import { startScratchCluster } from './postgres.js';
import type { ScratchCluster } from './scratch-cluster.js';
import { tempDir } from './temp.js';
import { until } from './until.js';
import { closeSegment } from './wal-segment.js';

/** A commit as the client that made it saw it. */
export interface ClientCommit {
  readonly n: number;
  readonly xid: string;
  /** False where the server was gone before it answered: then the row may be there or not. */
  readonly acknowledged: boolean;
}

/** A cluster with an archive by `cp` and one base backup, for tests that lose and recover it. */
export class RecoveryLab {
  readonly commits: ClientCommit[] = [];

  private constructor(
    readonly root: string,
    readonly cluster: ScratchCluster,
    readonly user: OsUser | null,
  ) {}

  static async create(): Promise<RecoveryLab> {
    const root = await tempDir('lab');
    const lab = new RecoveryLab(
      root,
      await startScratchCluster({ archive: `cp %p '${root}/copying' && mv '${root}/copying' '${root}/archive/%f'` }),
      await jobUser(),
    );
    await mkdir(lab.archive);
    await giveToPostgres(lab.archive);
    await lab.query('CREATE TABLE events (n int PRIMARY KEY, filler text)');
    const { cluster } = lab;
    await runAsPostgres(join(cluster.binDir, 'pg_basebackup'), [
      ...[
        '-D',
        lab.backup,
        '-c',
        'fast',
        '-X',
        'none',
        '-h',
        cluster.socketDir,
        '-p',
        String(cluster.port),
        '--no-sync',
      ],
    ]);
    return lab;
  }

  get archive(): string {
    return join(this.root, 'archive');
  }

  get backup(): string {
    return join(this.root, 'backup');
  }

  get pgBin(): string {
    return this.cluster.binDir;
  }

  get restoreCommand(): string {
    return `cp '${this.archive}/%f' "%p"`;
  }

  connection(port = this.cluster.port): ConnectionConfig {
    return { host: '127.0.0.1', port, user: 'postgres', maintenanceDatabase: 'postgres' };
  }

  async query(sql: string, port = this.cluster.port): Promise<pg.QueryResult<Record<string, unknown>>> {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await client.query<Record<string, unknown>>(sql);
    } finally {
      await client.end();
    }
  }

  /** Commits rows one by one until the server is gone or so many are done; the log is `commits`. */
  async commitRows(count: number): Promise<void> {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: this.cluster.port,
      user: 'postgres',
      database: 'postgres',
    });
    client.on('error', () => undefined);
    await client.connect();
    for (let left = count; left > 0; left--) {
      const n = this.commits.length + 1;
      let xid: string | undefined;
      try {
        await client.query('BEGIN');
        const { rows } = await client.query<{ xid: string }>(
          `INSERT INTO events VALUES ($1, repeat('x', 200)) RETURNING pg_current_xact_id()::text AS xid`,
          [n],
        );
        xid = rows[0]?.xid;
        await client.query('COMMIT');
        this.commits.push({ n, xid: xid ?? '', acknowledged: true });
      } catch {
        if (xid !== undefined) this.commits.push({ n, xid, acknowledged: false });
        break;
      }
    }
    await client.end().catch(() => undefined);
  }

  /** Closes the segment being written and waits until it is in the archive. */
  async archiveSegment(): Promise<string> {
    const segment = await closeSegment(this.cluster);
    await until(async () => (await readdir(this.archive)).includes(segment), `segment ${segment} is archived`);
    return segment;
  }

  /** A restored copy of the base backup, not started, with a service that this test file stops. */
  async restore(
    name: string,
  ): Promise<{ dataDir: string; port: number; connection: ConnectionConfig; service: Service }> {
    const dataDir = join(this.root, name);
    await runAsPostgres('cp', ['-a', this.backup, dataDir]);
    const port = await freePort();
    const service = serviceOf({ dataDir, service: { kind: 'pg_ctl' } }, this.pgBin, this.user);
    onCleanup(() => service.stop('immediate'));
    return { dataDir, port, connection: this.connection(port), service };
  }
}
