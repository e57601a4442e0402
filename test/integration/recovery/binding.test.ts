import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { queryNames } from '../../../src/domain/operation/names.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import type { DumpManifest } from '../../../src/engines/logical/repository/manifest.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { databaseMark } from '../../../src/domain/plan/recovery-place.js';
import { swapDatabases } from '../../../src/postgres/old-data/swap-databases.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/scratch-cluster.js';
import { answer, approved, editConfig, planned, reaches } from '../../helpers/site-cli.js';
import type { Started } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;

const sha256 = (body: string | Buffer): string => createHash('sha256').update(body).digest('hex');
const evilRoles = async (): Promise<unknown[]> =>
  (await site.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'evil%'", 'postgres')).rows;
const filesOf = (label: string) => {
  const base = join(site.places.backupsDir, 'mairie', 'dump', label);
  return { manifest: `${base}.json`, globals: `${base}.globals.sql` };
};

/** Superuser roles by a limit that is no number, and by a file of roles whose hash the manifest then has. */
async function attack(label: string, how: 'limit' | 'roles'): Promise<() => Promise<void>> {
  const { manifest: path, globals } = filesOf(label);
  const whole = [await readFile(path), await readFile(globals)] as const;
  const manifest = JSON.parse(whole[0].toString()) as DumpManifest;
  if (how === 'limit') {
    const properties = { ...manifest.properties, connectionLimit: '-1; CREATE ROLE evil SUPERUSER' };
    await writeFile(path, JSON.stringify({ ...manifest, properties }));
  } else {
    const body = `${whole[1].toString()}\nCREATE ROLE evil_role;\nALTER ROLE evil_role WITH SUPERUSER LOGIN;\n`;
    await writeFile(globals, body);
    const changed = { ...manifest.globals, sizeBytes: Buffer.byteLength(body), sha256: sha256(body) };
    await writeFile(path, JSON.stringify({ ...manifest, globals: changed }));
  }
  return async () => {
    await writeFile(path, whole[0]);
    await writeFile(globals, whole[1]);
  };
}

/** The next plan of a recovery whose approved one was not carried out. */
const another = (started: Started): Promise<Plan> =>
  site.waitFor(async () => {
    const plan = await site.session.client.workflow.getHandle(started.workflowId).query<Plan | null>(queryNames.plan);
    return plan !== null && plan.digest !== started.plan.digest && plan;
  }, 'another plan waits');

async function rejected({ workflowId }: Started): Promise<void> {
  await answer(site, 'reject', workflowId, '--by', 'dba', '--reason', 'seen');
  await reaches(site, workflowId, 'rejected');
}

beforeAll(async () => {
  site = await Site.create();
  await site.startWorker();
  await site.backUp('physical', 'full');
  await site.backUp('dump');
});

describe('G1: what was approved is what is restored', () => {
  it.each(['limit', 'roles'] as const)(
    'G1: a manifest changed after the approval (%s) is not what is restored: nothing of it is run, the dump is quarantined, and the one before it needs an approval of its own',
    async (how) => {
      const [older] = (await site.backups()).filter(
        ({ engine, status }) => engine === 'logical' && status === 'complete',
      );
      await site.backUp('dump');
      const now = await site.contentHash();
      const started = await planned(site, '--policy', 'dump');
      const [planned1] = started.plan.binding.backups;
      expect(planned1?.content).toEqual({ manifest: sha256(await readFile(filesOf(planned1?.label ?? '').manifest)) });
      const mend = await attack(planned1?.label ?? '', how);
      await approved(site, started);
      const next = await another(started);
      expect(next.binding.backups).toMatchObject([{ id: expect.stringContaining(':logical:') }]);
      expect(next.binding.backups[0]?.id).not.toBe(planned1?.id);
      expect((await site.backups()).find(({ id }) => id === planned1?.id)?.status).toBe('quarantined');
      await rejected(started);
      expect(older).toBeDefined();
      expect(await evilRoles()).toEqual([]);
      expect(await site.contentHash()).toEqual(now);
      await mend();
    },
  );

  it.each(['limit', 'roles'] as const)(
    'G1: the engine itself refuses other bytes than those that are bound (%s), and what has no hash',
    async (how) => {
      const made = (await site.backUp('dump')).backups[0];
      const backup = (await site.backups()).find(({ id }) => id === made?.id);
      if (backup === undefined) throw new Error('no dump');
      const server = { ...site.server, dataDir: site.places.dataDir, binDir: site.binDir } as ScratchCluster;
      const ground = await makeGround(server, 'logical', { restoreJobs: 1 }, {}, site.places.backupsDir);
      const context = await ground.context(`bound ${how}`, { policy: { ...ground.policy, name: 'dump' } });
      const content = await logicalEngine.bindBackup(context, backup, []);
      const mend = await attack(backup.label, how);
      const { connection } = context.cluster;
      const refused = (bound: typeof content) => [
        logicalEngine.logical?.restoreGlobals(context, { backup, content: bound, connection }),
        logicalEngine.logical?.restoreDatabase(context, { backup, content: bound, connection, intoDatabase: 'bound' }),
      ];
      for (const attempt of refused(content)) await expect(attempt).rejects.toMatchObject({ code: 'backup-corrupt' });
      await expect(logicalEngine.bindBackup(context, backup, [])).rejects.toMatchObject({ code: 'backup-corrupt' });
      await mend();
      for (const attempt of refused({})) await expect(attempt).rejects.toMatchObject({ code: 'plan-stale' });
      expect(await evilRoles()).toEqual([]);
      expect((await site.query("SELECT FROM pg_database WHERE datname = 'bound'", 'postgres')).rows).toEqual([]);
    },
  );

  it('G1: a pgBackRest manifest that is another one than when the backup was made is never planned with, nor restored', async () => {
    const [older] = (await site.backups()).filter(({ engine }) => engine === 'pgbackrest');
    await site.backUp('physical', 'full');
    await site.loseInstance('all');
    const started = await planned(site, '--policy', 'physical');
    const [bound] = started.plan.binding.backups;
    expect(bound?.content?.['manifest']).toBe(bound?.hash);
    const path = join(site.root, 'pgb', 'repo', 'backup', 'main', bound?.label ?? '', 'backup.manifest');
    // With a line that nobody reads: pgBackRest's own checksum would still have to be corrected, which is easy.
    await writeFile(path, `${await readFile(path, 'utf8')}\n`);
    await approved(site, started);
    const next = await another(started);
    expect(next.binding.backups).toMatchObject([{ id: older?.id }]);
    await rejected(started);
  });
});

describe('G2: what has a name of ours is ours only by its mark', () => {
  it('G2, F55: of two databases whose names share 36 bytes each is restored as it was', async () => {
    const shared = `${'long'.repeat(10)}_municipal_services`;
    const pair = [`${shared}_1`, `${shared}_2`];
    const mark = async (database: string): Promise<string> =>
      ((await site.query('SELECT what FROM mark', database)).rows[0] as { what: string }).what;
    const two = await Site.create();
    const before = site;
    site = two;
    try {
      for (const database of pair) {
        await site.query(`CREATE DATABASE "${database}"`, 'postgres');
        await site.query(`CREATE TABLE mark AS SELECT '${database}'::text AS what`, database);
      }
      await editConfig(site, (text) => text.replace('databases: [mairie]', `databases: [${pair.join(', ')}]`));
      await site.startWorker();
      await site.backUp('dump');
      for (const database of pair) await site.query("UPDATE mark SET what = 'damaged'", database);
      const started = await planned(site, '--policy', 'dump');
      expect(started.plan.binding.replaces).toHaveLength(2);
      await approved(site, started);
      await reaches(site, started.workflowId, 'completed');
      for (const database of pair) expect(await mark(database)).toBe(database);
      const { rows } = await site.query(
        "SELECT datname FROM pg_database WHERE datname LIKE 'long%_aside_%' AND NOT datallowconn",
        'postgres',
      );
      expect(rows).toHaveLength(2);
    } finally {
      site = before;
    }
  });

  it('G2: a database that has the name and not the mark is neither restored into nor swapped in', async () => {
    const cluster = await startScratchCluster();
    const { host, port, user } = cluster;
    const connection = { host, port, user, maintenanceDatabase: 'postgres' };
    const swap = { live: 'town', fresh: 'town_new_op', oldData: 'town_aside_op', mark: databaseMark('op') };
    const comment = (database: string, text: string) =>
      runQuery(cluster, 'postgres', `COMMENT ON DATABASE ${database} IS '${text}'`);
    const names = async () =>
      (await runQuery(cluster, 'postgres', "SELECT datname FROM pg_database WHERE datname LIKE 'town%' ORDER BY 1"))
        .rows;
    for (const name of ['town', 'town_new_op']) await runQuery(cluster, 'postgres', `CREATE DATABASE ${name}`);
    for (const text of ['', '[reprise:another]']) {
      await comment('town_new_op', text);
      await expect(swapDatabases(connection, swap)).rejects.toMatchObject({ code: 'conflict' });
      expect(await names()).toEqual([{ datname: 'town' }, { datname: 'town_new_op' }]);
    }
    await comment('town_new_op', `its own ${databaseMark('op')}`);
    await swapDatabases(connection, swap);
    await swapDatabases(connection, swap);
    expect(await names()).toEqual([{ datname: 'town' }, { datname: 'town_aside_op' }]);
    // Somebody else's under the live name is not taken for the one that was swapped in.
    await comment('town', 'mine');
    await expect(swapDatabases(connection, swap)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('G2: a directory that has the name of our old data before anything was moved is not taken for it', async () => {
    const place = await Site.create();
    const before = site;
    site = place;
    try {
      await site.startWorker();
      await site.backUp('physical', 'full');
      await site.loseInstance('killed');
      const started = await planned(site, '--policy', 'physical');
      const keptAs = started.plan.binding.replaces[0]?.keptAs ?? '';
      await mkdir(keptAs, { mode: 0o700 });
      await approved(site, started);
      await reaches(site, started.workflowId, 'paused');
      expect(await readdir(keptAs)).toEqual([]);
      expect(await readdir(site.places.dataDir)).toContain('PG_VERSION');
      await rmdir(keptAs);
      await answer(site, 'continue', started.workflowId, '--by', 'dba', '--reason', 'moved away');
      await reaches(site, started.workflowId, 'completed');
      expect(await readdir(keptAs)).toContain('PG_VERSION');
    } finally {
      site = before;
    }
  });
});
