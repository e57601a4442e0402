import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { tempDir } from '../../helpers/temp.js';

const loader = join(import.meta.dirname, '../../helpers/typescript.mjs');
const source = (file: string) => JSON.stringify(join(import.meta.dirname, '../../../src', file));

it('F1: a worker that is told to stop while a program runs ends its work first, and at once when it is told twice', async () => {
  const folder = await tempDir('signals');
  await writeFile(
    join(folder, 'worker.ts'),
    `import { runProgram } from ${source('process/exec/run-program.ts')};
import { waitForShutdown } from ${source('worker/stop-signals.ts')};
// As Temporal's runtime does it.
const told = new Promise((resolve) => {
  const listener = () => { process.off('SIGTERM', listener); resolve(undefined); };
  process.on('SIGTERM', listener);
});
const removeListener = waitForShutdown();
const running = runProgram(['sleep', '60'], { signal: AbortSignal.timeout(Number(process.argv[2])) }).catch(() => undefined);
setTimeout(() => console.log('runs'), 500);
await told;
console.log('told');
await running;
removeListener();
console.log('ended');`,
  );
  const start = async (worksForMs: number) => {
    const worker = spawn(process.execPath, ['--import', loader, join(folder, 'worker.ts'), String(worksForMs)], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const seen = { said: '' };
    worker.stdout.on('data', (chunk: Buffer) => (seen.said += chunk.toString()));
    while (!seen.said.includes('runs')) await once(worker.stdout, 'data');
    worker.kill('SIGTERM');
    return { worker, seen };
  };
  const first = await start(3000);
  expect(await once(first.worker, 'exit')).toEqual([0, null]);
  expect(first.seen.said).toBe('runs\ntold\nended\n');
  const second = await start(60_000);
  while (!second.seen.said.includes('told')) await once(second.worker.stdout, 'data');
  second.worker.kill('SIGTERM');
  expect(await once(second.worker, 'exit')).toEqual([1, null]);
});
