import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { tempDir } from '../../helpers/temp.js';

const loader = join(import.meta.dirname, '../../helpers/typescript.mjs');
const source = (file: string) => JSON.stringify(join(import.meta.dirname, '../../../src', file));

/** A process of its own: jest has listeners for its tests. */
async function run(program: string): Promise<string> {
  const folder = await tempDir('stray');
  await writeFile(join(folder, 'program.ts'), program);
  return (await promisify(execFile)(process.execPath, ['--import', loader, join(folder, 'program.ts')])).stdout;
}

it('F1: a failure that no code waits for is logged, and the worker goes on', async () => {
  const said = await run(`import { surviveStrayFailures } from ${source('worker/stray-failures.ts')};
const removeListener = surviveStrayFailures((line) => console.log(line.split('\\n')[0]));
void Promise.reject(new Error('nobody listens'));
await new Promise((resolve) => setImmediate(resolve));
removeListener();
console.log('goes on');`);
  expect(said).toBe('a failure that no code waits for; please report it: Error: nobody listens\ngoes on\n');
});

it('F1, M3: reading WAL that was cancelled before it began leaves no failure that nobody waits for', async () => {
  const said = await run(`import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { scanRecords } from ${source('postgres/wal/transactions/scan-records.ts')};
process.on('unhandledRejection', () => console.log('stray'));
const scratch = await mkdtemp('/tmp/reprise-stray-');
const archive = { segments: [], timelines: [], readHistory: async () => [], fetch: async () => undefined };
const segments = [{ name: '000000010000000000000001', number: 1n, from: 'archive', until: null }];
await scanRecords(
  { pgBin: '/nowhere', user: null, signal: AbortSignal.abort(new Error('cancelled')), report: () => undefined },
  { archive, dataDir: null, scratch, major: 17, segmentBytes: 16 * 1024 * 1024 },
  { segments },
  {},
).catch((error) => console.log(error.message));
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(await readdir(scratch));
await rm(scratch, { recursive: true });`);
  expect(said).toBe('cancelled\n[]\n');
});
