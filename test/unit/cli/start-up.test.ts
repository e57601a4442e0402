import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { tempDir } from '../../helpers/temp.js';

const source = fileURLToPath(new URL('../../../src/', import.meta.url));
const launcher = fileURLToPath(new URL('../../../bin/reprise', import.meta.url));
const main = join(source, 'main.ts');

/** Files and packages loaded before the first command runs: static imports, and those main.ts waits for; no types. */
function loadedAtStart(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name = ''] of text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)) {
    if (!name.startsWith('.')) seen.add(name);
    else loadedAtStart(resolve(dirname(file), name.replace(/\.js$/, '.ts')), seen);
  }
  if (file !== main) return seen;
  for (const [, name = ''] of text.matchAll(/import\('([^']+)'\)/g)) {
    loadedAtStart(resolve(dirname(file), name.replace(/\.js$/, '.ts')), seen);
  }
  return seen;
}

it('the command line starts with nothing heavy: no Temporal client, no schema, no other folder', () => {
  const loaded = [...loadedAtStart(main)];
  expect(loaded.filter((name) => name.startsWith(source)).every((file) => existsSync(file))).toBe(true);
  const packages = loaded.filter((name) => !name.startsWith('/') && !name.startsWith('node:'));
  expect(packages).toEqual(['commander']);
  const folders = new Set(
    loaded.filter((name) => name.startsWith(source)).map((file) => file.slice(source.length).split('/')[0]),
  );
  expect([...folders].sort()).toEqual(['cli', 'client', 'compose.ts', 'domain', 'main.ts']);
});

/** The launcher with a Node that calls itself `version`. */
async function startedOn(version: string, ...argv: readonly string[]): Promise<{ code: number; stderr: string }> {
  const folder = await tempDir('old-node');
  const node = join(folder, 'node');
  const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  await writeFile(node, `#!/bin/sh\nexec ${process.execPath} --import "data:text/javascript,${older}" "$@"\n`, {
    mode: 0o755,
  });
  const child = spawn(launcher, argv, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, REPRISE_NODE: node },
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number>((done) => child.once('close', (exit) => done(exit ?? -1)));
  return { code, stderr };
}

it('an older Node is told first thing, with what to do', async () => {
  expect(await startedOn('20.19.0', 'version')).toEqual({
    code: 1,
    stderr: expect.stringMatching(
      /^error: node 20\.19\.0 is too old for Reprise \(tool-missing\)\nHINT: install Node 22\.12/,
    ),
  });
  const { code, stderr } = await startedOn('22.11.0', 'status', '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stderr)).toEqual({
    error: { code: 'tool-missing', message: expect.any(String), hint: expect.stringContaining('22.12') },
  });
  expect(await startedOn('22.12.0', 'version')).toEqual({ code: 0, stderr: '' });
});
