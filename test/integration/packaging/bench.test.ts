/** The benches run for minutes and are no part of the tests; that they still find what they measure is. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../../..');
const bench = (...names: string[]) =>
  promisify(execFile)(process.execPath, [join(root, 'bench/run.mjs'), ...names], { cwd: root });

it('loads every bench, and names them where one is asked for that is not there', async () => {
  const names =
    'setup | demo | attach | overhead | drill | predict | memory | kill | scale | fleet | start | stream | count | wal | transactions | media | compare | apply | locate | instance';
  await expect(bench('speed')).rejects.toMatchObject({
    code: 2,
    stderr: `there is no bench speed\nHINT: npm run bench -- ${names}\n`,
  });
});
