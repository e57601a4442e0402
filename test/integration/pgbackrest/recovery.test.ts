import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { nextSegment } from '../../../src/domain/target/wal.js';
import { pgbackrestEngine as engine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { rearmArchiving } from '../../../src/postgres/wal/archiving.js';
import { salvageWal } from '../../../src/postgres/wal/salvage.js';
import { makeGround } from '../../contract/engine-fixture.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { STANZA, startBackrestCluster } from '../../helpers/pgbackrest.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { RecoveryHistory, requireSecondHistory } from '../../helpers/recovery-history.js';
import type { BackrestCluster } from '../../helpers/pgbackrest.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

let source: BackrestCluster;
let history: RecoveryHistory;

beforeAll(async () => {
  source = await startBackrestCluster();
  const ground = await makeGround(source.cluster, 'pgbackrest', source.options, { databases: ['postgres'] });
  history = new RecoveryHistory({ engine, server: source.cluster, context: ground.context });
  await history.begin();
  for (const name of ['first', 'second', 'third']) {
    await history.commit(name);
    await history.archive();
  }
  await history.commit('unarchived');
});

describe('S3: refused before anything is changed', () => {
  const aside: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (let undo = aside.pop(); undo !== undefined; undo = aside.pop()) await undo();
  });
  const archived = async (segment: string): Promise<string> => {
    const directory = join(source.repository, 'archive', STANZA, '15-1', segment.slice(0, 16));
    const names = await readdir(directory);
    return join(directory, names.find((name) => name.startsWith(`${segment}-`)) ?? 'no such segment');
  };

  it('F25: what only the old pg_wal holds can be reached with it', async () => {
    const { lsn } = history.point('unarchived');
    await expect(history.outline({ kind: 'lsn', lsn })).rejects.toMatchObject({ code: 'target-after-wal' });
    await expect(history.outline({ kind: 'lsn', lsn }, { oldDataDir: source.cluster.dataDir })).resolves.toMatchObject({
      salvageableSegments: 1,
    });
  });

  it('F15: a flipped bit in archived WAL', async () => {
    const damaged = nextSegment(history.backup.wal?.stop ?? '');
    const path = await archived(damaged);
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    const flipped = Buffer.from(content);
    // Near its beginning: in the packed zeros of its end a flip may change nothing.
    flipped.writeUInt8(flipped.readUInt8(500) ^ 1, 500);
    await writeFile(path, flipped);
    // A gap in the log, and no damage of the backup.
    const refused = {
      code: 'wal-gap',
      message: expect.stringContaining(`archived WAL is damaged, ${damaged}`) as unknown,
    };
    await expect(history.outline({ kind: 'xid', xid: history.point('first').xid })).rejects.toMatchObject(refused);
  });

  it('F17: other programs than the backup', async () => {
    const pgBin = await tempDir('programs');
    await writeFile(join(pgBin, 'postgres'), '#!/bin/sh\necho "postgres (PostgreSQL) 14.23"\n', { mode: 0o755 });
    await giveToPostgres(join(pgBin, 'postgres'));
    const older = { ...(await history.newContext()), pgBin };
    await expect(history.outline({ kind: 'latest' }, { context: older })).rejects.toMatchObject({
      code: 'version-mismatch',
    });
  });

  it('F13: a backup that the repository does not have any more is passed over, and named', async () => {
    const { backup } = history;
    const gone = { ...backup, label: '20200101-000000F', id: 'mairie:pgbackrest:20200101-000000F' };
    const outlined = await history.outline({ kind: 'latest' }, { candidates: [gone, backup] });
    expect(outlined.backups).toEqual([backup]);
    expect(outlined.warnings.join()).toContain(gone.label);
  });
});

describe('a stanza in the include directory', () => {
  it('W11: is found with config_path or config_include_path, and not with config alone, as with pgBackRest itself', async () => {
    const etc = await tempDir('etc');
    const [main, include] = [join(etc, 'pgbackrest.conf'), join(etc, 'conf.d')];
    const [global = '', stanza = ''] = (await readFile(source.config, 'utf8')).split(/(?=^\[mairie\]$)/m);
    await mkdir(include);
    await writeFile(main, global);
    await writeFile(join(include, 'mairie.conf'), stanza);
    for (const path of [etc, include, main, join(include, 'mairie.conf')]) await giveToPostgres(path);
    const context = await history.newContext();
    const { config: _config, ...rest } = source.options;
    const there = (options: object) => ({
      ...context,
      policy: { ...context.policy, options: { ...rest, ...options } },
    });
    for (const options of [{ configPath: etc }, { config: main, configIncludePath: include }]) {
      await engine.preflightBackup(there(options));
      expect((await engine.list(there(options))).map(({ label }) => label)).toContain(history.backup.label);
      expect(await engine.keptAt?.(there(options))).toMatchObject({ values: { path: source.repository } });
    }
    await expect(engine.preflightBackup(there({ config: main }))).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('pg1-path') as unknown,
    });
    // The check has archived what was not.
    await history.commit('unarchived');
  });
});

describe('after the instance was lost', () => {
  it('S4: with its unarchived WAL not a row is lost; pg_control is gone, and is not needed', async () => {
    await source.cluster.kill();
    for (const name of ['base', 'global']) await rm(join(source.cluster.dataDir, name), { recursive: true });
    const { dataDir } = source.cluster;
    const context = await history.newContext();
    const salvageDir = join(await tempDir('salvage'), 'wal');
    const salvaged = await salvageWal({
      oldDataDir: dataDir,
      toDir: salvageDir,
      archivedUpTo: null,
      pgBin: context.pgBin,
      user: context.user,
    });
    const plan = await history.outline({ kind: 'latest' }, { oldDataDir: dataDir, context });
    expect(plan).toMatchObject({ walEnd: salvaged.endLsn, reachableTo: salvaged.lastCommitAt, salvageableSegments: 1 });
    expect(await history.recoveredContent({ kind: 'latest' }, { oldDataDir: dataDir, salvageDir })).toBe(
      history.point('unarchived').content,
    );
  });

  it('K2: after a promotion the new timeline is archived and followed, what the old one wrote after is named', async () => {
    const context = await history.newContext();
    const recovered = await recoverBeside(
      context,
      await history.outline({ kind: 'lsn', lsn: history.point('first').lsn }, { context }),
      { clone: false, engine },
    );
    await recovered.promote();
    const config = join(await tempDir('config'), "it's 100% new.conf");
    const text = (await readFile(source.config, 'utf8'))
      .replace(/pg1-path=.*/, `pg1-path=${recovered.dataDir}`)
      .replace(/pg1-port=.*/, `pg1-port=${recovered.port}`);
    await writeFile(config, text.replace(/pg1-socket-path=.*/, `pg1-socket-path=${recovered.socketDir}`), {
      mode: 0o600,
    });
    await giveToPostgres(config);
    const connection = { ...context.cluster.connection, host: recovered.host, port: recovered.port };
    const policy = { ...context.policy, options: { ...source.options, config } };
    const after = { ...context, policy, cluster: { ...context.cluster, connection, dataDir: recovered.dataDir } };
    await runQuery(recovered, 'postgres', `INSERT INTO rdv (what) VALUES ('on the new timeline')`);
    const content = await history.contentOf(recovered);
    await rearmArchiving(connection, engine.physical?.archiveCommand(after) ?? null);
    await engine.physical?.rearm(after);
    await recovered.remove();

    const next = { ...(await history.newContext()), policy };
    const plan = await history.outline({ kind: 'latest' }, { context: next });
    expect(plan.timeline).toBe(2);
    expect(plan.warnings.join()).toMatch(/changes on timeline 1 after .* are not recovered/);
    const again = await recoverBeside(next, plan, { engine });
    expect(await history.contentOf(again)).toBe(content);
    await again.remove();
  });

  it('W5, F49: without the history of the new timeline latest is refused, and the old one is not taken for it; a time names its timeline', async () => {
    const file = join(source.repository, 'archive', STANZA, '15-1', '00000002.history');
    await requireSecondHistory(history, file);
  });
});
