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
    drill: { host: 'staging1', dataDir, port, engines: [] },
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

it('P4: doctor says on the staging host which programs its drills miss, and nothing of policies that it cannot read', async () => {
  const root = await tempDir('doctor-staging');
  await chmod(root, 0o755);
  const [port] = (await freePorts(1)) as [number];
  const walg = (name: string, repository: string) => ({
    ...{ name, repository, engine: 'walg', enabled: true },
    options: { binary: `/nonexistent/${name}` },
  });
  const cluster = {
    ...{ name: 'mairie', host: 'db1', recovery: { oldData: {}, targets: {} } },
    policies: { near: walg('near', 'bucket'), far: walg('far', 'local') },
    drill: {
      ...{ host: 'staging1', dataDir: join(root, 'staging'), port, engines: [] },
      mask: { argv: ['/nonexistent/mask'], timeoutSeconds: 60 },
    },
  };
  const repositories = { bucket: { name: 'bucket', options: {} }, local: { name: 'local', host: 'db1', options: {} } };
  const config = { clusters: { mairie: cluster }, repositories, hosts: {} } as unknown as Config;
  expect(await stagingFindings(config, 'staging1', Object.values(config.clusters))).toMatchObject([
    { check: 'cluster/mairie/tools//nonexistent/near', level: 'problem', fix: expect.stringContaining('WAL-G') },
    {
      ...{ check: 'cluster/mairie/mask', level: 'problem', message: expect.stringContaining('/nonexistent/mask') },
      fix: expect.stringContaining('clusters.mairie.drill.mask.argv'),
    },
    { check: 'cluster/mairie/staging', level: 'ok' },
  ]);
});
