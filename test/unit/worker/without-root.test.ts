import { expect, it } from '@jest/globals';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { withoutRoot } from '../../../src/worker/main.js';
import { asRoot, giveToPostgres } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

(asRoot ? it : it.skip)('O4: a worker that runs as root says as whom to run it, with the command', async () => {
  const dataDir = join(await tempDir('root'), 'data');
  await mkdir(dataDir);
  await giveToPostgres(dataDir);
  const clusters = { mairie: { host: 'db1', dataDir } } as never;
  expect(await withoutRoot({ clusters, file: '/etc/reprise/reprise.yml' }, ['db1'])).toContain(
    'sudo -u postgres reprise worker --host db1 --config /etc/reprise/reprise.yml',
  );
});
