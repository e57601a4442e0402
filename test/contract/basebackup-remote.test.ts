import { setTimeout as sleep } from 'node:timers/promises';
import { startReceivedCluster } from '../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { runQuery } from '../helpers/postgres.js';
import { startReceiver } from '../helpers/receiver.js';
import { baseFixture } from './basebackup-fixture.js';
import { SEEDED_DATABASES } from './engine-fixture.js';
import { engineContract } from './engine-suite.js';

failOnLeakedProcesses();

// As in S3: nothing of the repository is a path. Its files can be looked at here all the same.
engineContract({
  name: 'basebackup with received WAL, in a repository without paths',
  makeFixture: async () => {
    const source = await startReceivedCluster({}, SEEDED_DATABASES, (storage) => ({
      ...storage,
      capabilities: { ...storage.capabilities, localPath: false },
      localPath: () => {
        throw new Error('it has no paths');
      },
    }));
    startReceiver(await source.context('receiver'));
    for (let ready = false; !ready; await sleep(50))
      ready =
        (await runQuery(source.cluster, 'postgres', 'SELECT FROM pg_replication_slots WHERE active')).rowCount === 1;
    return baseFixture(source);
  },
});
