import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { tempDir } from '../../helpers/temp.js';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const module = here('../../../src/process/jobs/crash-points.ts');
const script = `const { crashPoint } = await import(process.argv[1]); crashPoint('a', 'step', 'tool'); crashPoint('b'); console.log('lived');`;
const argv = ['--import', here('../../helpers/typescript.mjs'), '--input-type=module', '--eval', script, module];

function signalOf(env: Record<string, string>): string | null {
  return spawnSync(process.execPath, argv, { env: { ...process.env, ...env } }).signal;
}

it('without the variable nothing happens', () => {
  expect(execFileSync(process.execPath, argv).toString()).toBe('lived\n');
});

it('dies at the point, for the step or tool that is named', () => {
  expect(signalOf({ REPRISE_CRASH_AT: 'a' })).toBe('SIGKILL');
  expect(signalOf({ REPRISE_CRASH_AT: 'a@tool' })).toBe('SIGKILL');
  expect(signalOf({ REPRISE_CRASH_AT: 'a@other,c' })).toBe(null);
});

it('each entry of a list once, where a marker is named', async () => {
  const env = { REPRISE_CRASH_AT: 'a@step, b', REPRISE_CRASH_ONCE: join(await tempDir(), 'marker') };
  expect([signalOf(env), signalOf(env), signalOf(env)]).toEqual(['SIGKILL', 'SIGKILL', null]);
});
