import { createServer } from 'node:net';
import { stat } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { freePort, freePorts } from '../../helpers/ports.js';
import { asRoot, runAsPostgres } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

test('free ports differ and can be listened on', async () => {
  const ports = await freePorts(5);
  expect(new Set(ports).size).toBe(5);
  const server = createServer();
  const port = await freePort();
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  await new Promise((closed) => server.close(closed));
});

test('a temporary directory is private and belongs to whoever runs PostgreSQL', async () => {
  const directory = await tempDir('owned');
  const { mode, uid } = await stat(directory);
  expect(mode & 0o777).toBe(0o700);
  expect(uid === 0).toBe(false);
  if (asRoot) expect((await runAsPostgres('id', ['-u'])).trim()).toBe(String(uid));
});
