import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { userOf } from '../../../src/process/exec/users.js';

let folder: string;
const path = process.env['PATH'];
const asked = async (): Promise<string[]> =>
  (await readFile(join(folder, 'asked'), 'utf8')).split('\n').filter((line) => line !== '');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-users-'));
  const program = `#!/bin/sh\necho "$2" >> '${folder}/asked'\n[ "$2" = 4242 ] || exit 2\necho 'marie:x:4242:4243:Marie:/home/marie:/bin/sh'\n`;
  await writeFile(join(folder, 'getent'), program, { mode: 0o755 });
  process.env['PATH'] = `${folder}:${path ?? ''}`;
});

afterAll(async () => {
  process.env['PATH'] = path;
  await rm(folder, { recursive: true });
});

it('a user that was found is not looked up again by the next step, one that was not found is', async () => {
  const marie = { uid: 4242, gid: 4243, name: 'marie', home: '/home/marie' };
  expect(await userOf({ uid: 4242, gid: 4243 })).toStrictEqual(marie);
  expect(await userOf({ uid: 4242, gid: 4243 })).toStrictEqual(marie);
  const unknown = { uid: 4244, gid: 4244, name: '4244', home: '/' };
  expect(await userOf({ uid: 4244, gid: 4244 })).toStrictEqual(unknown);
  expect(await userOf({ uid: 4244, gid: 4244 })).toStrictEqual(unknown);
  expect(await asked()).toStrictEqual(['4242', '4244', '4244']);
});
