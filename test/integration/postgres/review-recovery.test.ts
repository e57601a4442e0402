import { describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { missingRights } from '../../../src/doctor/rights.js';
import { inspectDataDir } from '../../../src/postgres/server/data-directory.js';
import {
  configureRecovery,
  promoteServer,
  resetRecoverySettings,
  recoverToTarget,
} from '../../../src/postgres/recovery/recovery.js';
import { waitForEndOfWal } from '../../../src/postgres/recovery/recovery-wait.js';
import { swapDatabases } from '../../../src/postgres/old-data/swap-databases.js';
import { readClusterTopology } from '../../../src/postgres/server/topology.js';
import { startScratchCluster } from '../../helpers/postgres.js';
import { RecoveryLab } from '../../helpers/recovery-lab.js';

describe('a recovery that was given up before it was opened for writes', () => {
  it('is no whole data directory that a restart would bring back, and no standby that forbids another recovery', async () => {
    const lab = await RecoveryLab.create();
    await lab.query('CREATE ROLE low LOGIN');
    await lab.commitRows(20);
    await lab.archiveSegment();
    const { dataDir, port, connection, service } = await lab.restore('given-up');
    const request = {
      dataDir,
      user: lab.user,
      target: { kind: 'latest' } as const,
      restoreCommand: lab.restoreCommand,
      salvageDir: null,
      timeline: 'latest' as const,
      clone: true,
      port,
    };
    await configureRecovery(request);
    await recoverToTarget(request, service, connection);
    await waitForEndOfWal(connection, null, { service });
    expect(await readClusterTopology(connection, dataDir, [])).toMatchObject({ isStandby: false });
    await service.stop('fast');
    expect(await inspectDataDir(lab.pgBin, dataDir, lab.user)).toMatchObject({
      state: 'damaged',
      reason: expect.stringContaining('has not ended'),
    });
    expect(await readClusterTopology(connection, dataDir, [])).toMatchObject({ isStandby: false });

    await service.start();
    // The role may promote nothing, and nobody can let it while the server is in recovery.
    const low = { ...connection, user: 'low' };
    await expect(promoteServer(low)).rejects.toMatchObject({
      code: 'privilege-missing',
      hint: expect.stringContaining('GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote TO "low"'),
    });
    expect(await promoteServer(low, service)).toEqual({ timeline: 2, promotedNow: true });
    expect(await promoteServer(low, service)).toEqual({ timeline: 2, promotedNow: false });
    const asked = await withClient(low, 'postgres', missingRights);
    expect(asked).toEqual([
      'GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_create_restore_point(text), pg_switch_wal() TO low',
      'GRANT pg_checkpoint TO low',
    ]);
    await withClient(connection, 'postgres', (superuser) => superuser.query(asked.join('; ')));
    expect(await withClient(low, 'postgres', missingRights)).toEqual([]);
    expect(await withClient(connection, 'postgres', missingRights)).toEqual([]);
    await resetRecoverySettings(dataDir, lab.user);
    await service.stop('fast');
    expect(await inspectDataDir(lab.pgBin, dataDir, lab.user)).toMatchObject({ state: 'whole' });
  });
});

describe('a swap that cannot be done', () => {
  it('leaves the live database open for its applications', async () => {
    const cluster = await startScratchCluster();
    const connection = { host: cluster.host, port: cluster.port, user: 'postgres', maintenanceDatabase: 'postgres' };
    const run = (sql: string, database = 'postgres'): Promise<pg.QueryResult> =>
      withClient(connection, database, (client) => client.query(sql));
    // The name for the old one is taken, by nobody knows whom.
    for (const name of ['live', 'fresh', 'live_aside_op']) await run(`CREATE DATABASE ${name}`);
    await expect(swapDatabases(connection, { live: 'live', fresh: 'fresh', oldData: 'live_aside_op' })).rejects.toThrow(
      'already exists',
    );
    expect((await run('SELECT current_database() AS name', 'live')).rows).toEqual([{ name: 'live' }]);
  });
});
