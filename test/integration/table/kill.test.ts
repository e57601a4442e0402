import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sweepHost } from '../../../src/activities/sweep.js';
import { loadConfig } from '../../../src/config/load.js';
import type { FreezeMeans } from '../../../src/domain/table/repair.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { freezeTable } from '../../../src/postgres/repair/freeze.js';
import { scratchConnection } from '../../../src/postgres/server/scratch-cluster.js';
import { openFrozenTables } from '../../../src/records/frozen-tables.js';
import { openTemporaryInstances } from '../../../src/records/temporary-instances.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { numberGivenAgain } from '../../chaos/repair-cases.js';
import { RepairSite } from '../../chaos/repairs.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

let on: RepairSite;
beforeAll(async () => {
  on = await RepairSite.create();
});
afterAll(() => on?.site.remove());

/** A sample; `npm run chaos` has all of it. */
describe('a repair that is killed anywhere leaves the table as it was or as approved, and everybody can write to it', () => {
  it('T6, F1: workers that are killed between a change and its record: batches go on where they were, and hooks and writes come back', async () => {
    const crashAt = ['freeze:noted', 'repair:committed@0', 'freeze:opened'];
    expect(await on.passes(await on.damage('dump'), { crashAt })).toBe(crashAt.length);
  });

  it('T6, F2: a server that gives the number of a lost transaction to somebody else does not make it look committed', async () => {
    await numberGivenAgain(on);
  });

  it('F22: a copy of a dump that has fewer rows than the backup had is refused, and no row of production goes', async () => {
    const { site } = on;
    const before = await on.production();
    const damage = await on.damage('dump');
    const work = await on.untilLeft(damage, 'activity:openInstance:after');
    const [copy] = await openTemporaryInstances(site.places.stateDir).all();
    const connection = scratchConnection({ dataDir: copy?.dataDir ?? '', role: 'postgres' });
    // As if the tool had left a row out and said nothing.
    await withClient(connection, 'mairie', (client) => client.query('DELETE FROM metier.demandes_rdv WHERE id = 5'));
    const worker = await site.startWorker();
    await expect(work?.handle.result()).rejects.toMatchObject({
      cause: { cause: { type: 'backup-corrupt', message: expect.stringContaining('rows of metier.demandes_rdv') } },
    });
    await on.requireNothingLeft(before);
    await on.requireRows(damage.before);
    await worker.stop();
  });

  it.each<FreezeMeans>([{ by: 'revoke', roles: ['clerk'] }, { by: 'trigger' }])(
    'T4: a table that two ended operations have left frozen is opened by the last one, with the rights that the first one took (%j)',
    async (means) => {
      const { site } = on;
      await site.query('DROP ROLE IF EXISTS clerk; CREATE ROLE clerk').catch(() => undefined);
      await site.query('GRANT INSERT, UPDATE ON metier.demandes_rdv TO clerk');
      const before = await on.production();
      const deps = hostDependencies(await loadConfig({ file: site.places.configFile }), 'db1');
      const { connection } = deps.config.clusters['mairie'] ?? {};
      if (connection === undefined) throw new Error('there is no cluster');
      const table = { schema: 'metier', table: 'demandes_rdv' };
      for (const operationId of ['first', 'second']) {
        const workflowId = `table-repair/mairie/${operationId}`;
        const named = {
          cluster: 'mairie',
          operationId,
          workflowId,
          firstRunId: null,
          database: 'mairie',
          table,
          means,
        };
        await withClient(connection, 'mairie', (client) =>
          freezeTable(client, { table, means }, workflowId, (parts) =>
            openFrozenTables(site.places.stateDir).save({ ...named, at: new Date().toISOString(), ...parts }),
          ),
        );
      }
      expect(await on.production()).not.toEqual(before);
      const ended = (): Promise<boolean> => Promise.resolve(true);
      await Promise.all([sweepHost(deps, ended), sweepHost(deps, ended)]);
      expect(await on.production()).toEqual(before);
      expect(await openFrozenTables(site.places.stateDir).all()).toEqual([]);
    },
  );
});
