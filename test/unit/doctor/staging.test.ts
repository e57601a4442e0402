import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { Config } from '../../../src/domain/config.js';
import { stagingFindings } from '../../../src/doctor/staging.js';
import { freePorts } from '../../helpers/ports.js';
import { tempDir } from '../../helpers/temp.js';

it('P4: doctor says whether drills may use their directory, on the staging host only', async () => {
  const root = await tempDir('doctor-staging');
  await chmod(root, 0o755);
  const [port] = (await freePorts(1)) as [number];
  const dataDir = join(root, 'staging');
  const cluster = {
    ...{
      name: 'mairie',
      host: 'db1',
      dataDir: join(root, 'main'),
      policies: {},
      recovery: { oldData: {}, targets: {} },
    },
    drill: { host: 'staging1', dataDir, port },
  };
  const config = { clusters: { mairie: cluster }, repositories: {}, hosts: {} } as unknown as Config;
  const findings = (host = 'staging1') => stagingFindings(config, host, Object.values(config.clusters));
  expect(await findings('db1')).toEqual([]);
  expect(await findings()).toMatchObject([
    { level: 'ok', message: expect.stringContaining('the first drill marks it') },
  ]);
  await mkdir(dataDir);
  await writeFile(join(dataDir, 'precious'), '');
  expect(await findings()).toMatchObject([
    { check: 'cluster/mairie/staging', level: 'problem', fix: expect.stringContaining('drill.data_dir') },
  ]);
});
