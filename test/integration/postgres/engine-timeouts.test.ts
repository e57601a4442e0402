import { expect, it } from '@jest/globals';
import pg from 'pg';
import { inspectHost } from '../../../src/doctor/inspect-host.js';
import { parseConfig } from '../../../src/config/load.js';
import { isRetryable, RepriseError } from '../../../src/domain/errors.js';
import type { Engine } from '../../../src/engines/engine.js';
import { basebackupEngine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { pgbackrestEngine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { walgEngine } from '../../../src/engines/walg/walg-engine.js';
import { makeGround, type Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { startBaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startBackrestCluster } from '../../helpers/pgbackrest.js';
import { runQuery, type ScratchCluster } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { startWalgCluster } from '../../helpers/walg.js';

failOnLeakedProcesses();

/** What begins a backup takes longer than the one, and its copy longer than the other. */
const TIMEOUTS = { statement_timeout: '1ms', lock_timeout: '1ms', idle_in_transaction_session_timeout: '1ms' };

/** A `SET` in the session itself would come too late: the time-out of the role runs from the beginning of the first statement. */
async function setTimeouts({ socketDir, port, user }: ScratchCluster, value: (short: string) => string): Promise<void> {
  const none = Object.keys(TIMEOUTS).map((name) => `-c ${name}=0`);
  const client = new pg.Client({ host: socketDir, port, user, database: 'template1', options: none.join(' ') });
  await client.connect();
  try {
    for (const [name, short] of Object.entries(TIMEOUTS))
      await client.query(`ALTER ROLE postgres SET ${name} = '${value(short)}'`);
  } finally {
    await client.end();
  }
}

async function backUp(engine: Engine, ground: Ground, id: string): Promise<unknown> {
  const context = await ground.context(id);
  await engine.preflightBackup(context);
  return onlyBackup(await engine.backup(context, { type: 'full', startedAt: new Date().toISOString() }));
}

it('R7: time-outs of the role end no session of pgBackRest and none of pg_basebackup', async () => {
  const stanza = await startBackrestCluster();
  const base = await startBaseCluster();
  const grounds: readonly (readonly [Engine, ScratchCluster, Ground])[] = [
    [
      pgbackrestEngine,
      stanza.cluster,
      await makeGround(stanza.cluster, 'pgbackrest', stanza.options, { databases: ['postgres'] }),
    ],
    [basebackupEngine, base.cluster, base.ground],
  ];
  for (const [engine, cluster, ground] of grounds) {
    await setTimeouts(cluster, (short) => short);
    expect(await backUp(engine, ground, 'with time-outs')).toMatchObject({ type: 'full' });
  }
});

it('R7: WAL-G brings no settings to its session: doctor and the backup name the statements, and the failure has its true reason', async () => {
  const { cluster, options } = await startWalgCluster();
  const ground = await makeGround(cluster, 'walg', options, { databases: ['postgres'] });
  const context = await ground.context('one');
  expect((await walgEngine.preflightBackup(context)).join()).not.toContain('time-outs');
  await setTimeouts(cluster, (short) => short);

  const statement = 'ALTER ROLE "postgres" IN DATABASE "postgres" SET statement_timeout = 0';
  expect((await walgEngine.preflightBackup(context)).join()).toContain(statement);
  // A session that is ended while it connects is told as a server that cannot be reached: that step is tried again.
  const lasting = async (): Promise<unknown> => {
    for (;;) {
      const startedAt = new Date().toISOString();
      const error: unknown = await walgEngine.backup(context, { type: 'full', startedAt }).catch((one: unknown) => one);
      if (!(error instanceof RepriseError && isRetryable(error))) return error;
    }
  };
  expect(await lasting()).toMatchObject({
    code: 'config-invalid',
    message: expect.stringContaining('time-out'),
  });

  const folder = await tempDir('doctor');
  const { config } = parseConfig(
    `version: 1
hosts: { db1: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    host: db1
    data_dir: ${cluster.dataDir}
    connection: { host: ${cluster.socketDir}, port: ${cluster.port}, user: postgres }
    service: { kind: pg_ctl }
    databases: [postgres]
    catalogue: local
    backups:
      nightly: { engine: walg, repository: local, retention: { days: 14 }, options: { env_file: ${options.envFile}, binary: ${options.binary} } }
`,
    `${folder}/reprise.yml`,
  );
  const found = (await inspectHost(config, 'db1')).find(({ check }) => check === 'cluster/mairie/timeouts');
  expect(found).toMatchObject({ level: 'warning', fix: expect.stringContaining(statement) });

  await setTimeouts(cluster, () => '1h');
  for (const sql of (found?.fix ?? '').split('; ')) await runQuery(cluster, 'postgres', sql);
  expect((await walgEngine.preflightBackup(await ground.context('two'))).join()).not.toContain('time-outs');
  expect(await backUp(walgEngine, ground, 'two')).toMatchObject({ type: 'full' });
});
