import { beforeAll, expect, it } from '@jest/globals';
import { CanaryWriter } from '../../../src/activities/inspection/canary-writer.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { CheckContext, CheckOutcome, RestoredService } from '../../../src/checks/check.js';
import { runCanaryCheck } from '../../../src/checks/canary/canary-check.js';
import { canaryFindings } from '../../../src/doctor/canary.js';
import type { ClusterConfig, ConnectionConfig } from '../../../src/domain/config.js';
import { canarySetUp, writeCanary } from '../../../src/postgres/content/canary.js';
import { readCanaryLog } from '../../../src/records/canary-log.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/scratch-cluster.js';
import { tempDir } from '../../helpers/temp.js';

let cluster: ScratchCluster;
let connection: ConnectionConfig;
let storage: ReturnType<typeof openDirectory>;

beforeAll(async () => {
  cluster = await startScratchCluster();
  connection = { host: cluster.host, port: cluster.port, user: 'postgres', maintenanceDatabase: 'postgres' };
  storage = openDirectory({ path: await tempDir('canary') });
});

const run = (sql: string, database = 'postgres') => runQuery(cluster, database, sql);
const written = (until: Date) => readCanaryLog(storage, 'mairie', until);

/** The watch's writer, with a canary that is due at each call. */
async function write(): Promise<void> {
  const canary = { database: 'postgres', everySeconds: 300 };
  const config = { catalogue: 'local', repositories: { local: {} } };
  const deps = { config, openStorage: () => storage };
  const context = { deps, cluster: { name: 'mairie', canary, connection, catalogue: 'local' }, user: null };
  await new CanaryWriter(context as unknown as ClusterContext).write();
}

/** The check, as after a replay up to this position. */
function check(lastLsn: string, more: Partial<RestoredService> = {}): Promise<CheckOutcome> {
  const reached = { reached: '', lastLsn, lastCommitAt: new Date().toISOString(), complete: false };
  const restored = {
    method: 'data-directory',
    databases: null,
    backups: [],
    target: { kind: 'latest' },
    reached,
    ...more,
  };
  const canary = { database: 'postgres', everySeconds: 300, written };
  return runCanaryCheck({ connection, canary, restored } as unknown as CheckContext);
}

it('V2: the newest canary before the end of a restore has to be there as it was, and one after it has not', async () => {
  for (let n = 1; n <= 3; n++) await write();
  const rows = await written(new Date());
  expect(rows.map(({ n }) => n)).toEqual([1, 2, 3]);
  const [first, , third] = rows.map(({ lsn }) => lsn);
  expect(await check(third ?? '')).toMatchObject({
    status: 'passed',
    detail: expect.stringMatching(
      /^canary 3, written .* came back as it was, .* before the end of the restore; one is written every 5 min 00 s$/,
    ),
  });
  expect(await check('0/1')).toMatchObject({ status: 'skipped' });
  await run('DELETE FROM reprise.canary WHERE n = 3');
  // The replay ended after the first: nobody expects the third.
  expect(await check(first ?? '')).toMatchObject({ status: 'passed', detail: expect.stringMatching(/^canary 1,/) });
  expect(await check(third ?? '')).toMatchObject({
    status: 'failed',
    detail: expect.stringMatching(/^canary 3, written .* did not come back: the newest one is 2$/),
    hint: expect.stringContaining('an older backup'),
  });
  await run("UPDATE reprise.canary SET token = 'other' WHERE n = 1");
  expect(await check(first ?? '')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('came back changed'),
  });
  const dump = { method: 'databases' as const, databases: ['postgres'] };
  const startedAt = new Date(Date.now() + 1000).toISOString();
  const backups = [{ label: 'x', database: 'postgres', startedAt, finishedAt: null }];
  expect(await check('0/1', { ...dump, backups })).toMatchObject({ status: 'failed' });
  await run('DROP TABLE reprise.canary');
  expect(await check(third ?? '')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('the table reprise.canary is missing'),
  });
});

it('V2: a role that may not make the table is told the statements that let it, and they are enough', async () => {
  await run('CREATE ROLE watcher LOGIN');
  await run('CREATE DATABASE limited');
  const limited = { ...connection, user: 'watcher' };
  const doctor = () =>
    canaryFindings({
      ...{ name: 'mairie', connection: limited, watch: { everySeconds: 10, failures: 3 } },
      canary: { database: 'limited', everySeconds: 300 },
    } as unknown as ClusterConfig);
  const statements = canarySetUp('watcher').join('; ');
  expect(await doctor()).toEqual([expect.objectContaining({ fix: expect.stringContaining(statements) })]);
  await expect(writeCanary(limited, 'limited')).rejects.toMatchObject({
    code: 'privilege-missing',
    hint: expect.stringContaining(statements),
  });
  await run(statements, 'limited');
  expect(await doctor()).toEqual([expect.objectContaining({ level: 'ok' })]);
  expect(await writeCanary(limited, 'limited')).toMatchObject({ n: 1 });
});

it('F44: what others have put on the table of the canary is not run with our rights', async () => {
  await run('CREATE ROLE trojan LOGIN');
  await run('CREATE DATABASE planted OWNER trojan');
  await run(
    `SET ROLE trojan; CREATE SCHEMA reprise; CREATE TABLE reprise.canary (n bigint PRIMARY KEY, written_at timestamptz, token text);
     CREATE FUNCTION reprise.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE trojan SUPERUSER; RETURN NEW; END $$;
     CREATE TRIGGER t BEFORE INSERT ON reprise.canary FOR EACH ROW EXECUTE FUNCTION reprise.f()`,
    'planted',
  );
  await expect(writeCanary(connection, 'planted')).rejects.toMatchObject({ code: 'privilege-missing' });
  const { rows } = await run("SELECT rolsuper FROM pg_roles WHERE rolname = 'trojan'");
  expect(rows).toEqual([{ rolsuper: false }]);
});
