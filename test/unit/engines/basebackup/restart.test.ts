import { mkdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { moveOut } from '../../../../src/engines/basebackup/restore/combine.js';
import { receiveDirectory, receiveWal } from '../../../../src/engines/basebackup/wal/receive.js';
import type { EngineContext } from '../../../../src/engines/engine.js';
import { openDirectory } from '../../../../src/storage/directory/directory-storage.js';
import { freePort } from '../../../helpers/ports.js';
import { tempDir } from '../../../helpers/temp.js';

const how = { user: null, signal: new AbortController().signal };

it('F1: a tablespace that was moved and linked before the kill stays where it is', async () => {
  const root = await tempDir('moved');
  const [from, to] = [join(root, 'link'), join(root, 'space')];
  await mkdir(to);
  await writeFile(join(to, 'table'), 'rows');
  await symlink(to, from);
  await moveOut(from, to, how);
  expect(await readlink(from)).toBe(to);
  expect(await readFile(join(to, 'table'), 'utf8')).toBe('rows');
});

it('F1: one that was not is moved', async () => {
  const root = await tempDir('to-move');
  const [from, to] = [join(root, 'unpacked'), join(root, 'space')];
  for (const directory of [from, to]) await mkdir(directory);
  await writeFile(join(from, 'table'), 'rows');
  await moveOut(from, to, how);
  await moveOut(from, to, how);
  expect(await readFile(join(to, 'table'), 'utf8')).toBe('rows');
});

it('F3: with the server lost, what was received before goes into the repository all the same', async () => {
  const root = await tempDir('received');
  const connection = { host: '127.0.0.1', port: await freePort(), user: 'nobody', maintenanceDatabase: 'postgres' };
  const context = {
    ...{ ...how, report: () => undefined, storage: openDirectory({ path: join(root, 'repository') }) },
    host: { name: 'db1', stateDir: join(root, 'state'), scratchDir: join(root, 'state', 'scratch') },
    cluster: { name: 'mairie', connection },
    policy: { name: 'nightly', options: { wal: 'receivewal', compress: 1, archiveTimeoutSeconds: 60 } },
  } as unknown as EngineContext;
  const directory = receiveDirectory(context);
  await mkdir(directory, { recursive: true });
  const [full, begun] = ['000000010000000000000002', '000000010000000000000003'];
  await writeFile(join(directory, full), 'whole');
  await writeFile(join(directory, `${begun}.partial`), 'beginning');
  await expect(receiveWal(context)).rejects.toThrow();
  for (const name of [full, `${begun}.partial`])
    expect(await context.storage.stat(`mairie/nightly/wal/${name}.gz`)).not.toBeNull();
});
