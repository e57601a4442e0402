import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { tempDir } from '../../helpers/temp.js';

const source = fileURLToPath(new URL('../../../src/', import.meta.url));
const launcher = fileURLToPath(new URL('../../../bin/reprise', import.meta.url));
const builtMain = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
/** Each is small; zod and yaml are what reading a configuration is about. */
const packagesOfConfig = ['croner', 'fastest-levenshtein', 'ipaddr.js', 'yaml', 'zod'];

/** Files and packages that a module loads: static imports, no types. */
function loadedBy(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name = ''] of text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)) {
    if (!name.startsWith('.')) seen.add(name);
    else loadedBy(resolve(dirname(file), name.replace(/\.js$/, '.ts')), seen);
  }
  return seen;
}

it('the command line starts with nothing heavy: no Temporal client, no schema, no other folder', () => {
  const loaded = [...loadedBy(join(source, 'main.ts'), loadedBy(join(source, 'command-line.ts')))];
  expect(loaded.filter((name) => name.startsWith(source)).every((file) => existsSync(file))).toBe(true);
  const packages = loaded.filter((name) => !name.startsWith('/') && !name.startsWith('node:'));
  expect(packages).toEqual(['commander']);
  const folders = new Set(
    loaded.filter((name) => name.startsWith(source)).map((file) => file.slice(source.length).split('/')[0]),
  );
  expect([...folders].sort()).toEqual(['cli', 'client', 'command-line.ts', 'compose.ts', 'domain', 'main.ts']);
});

it('reading a configuration loads what describes engines, storages, checks and notifiers, and none of them', () => {
  const loaded = [...loadedBy(join(source, 'config/load.ts'))];
  expect(loaded.filter((name) => !name.startsWith('/') && !name.startsWith('node:')).sort()).toEqual(packagesOfConfig);
  const adapters = /^(engines|storage|checks|notifiers)\//;
  // Options of a kind, and what they are made of.
  const described = /\/(registry|(?:[a-z]+-)?options|config-places|keys|table-patterns)\.ts$/;
  const files = loaded.filter((name) => name.startsWith(source)).map((file) => file.slice(source.length));
  expect(files.filter((file) => adapters.test(file) && !described.test(file))).toEqual([]);
});

/** Modules that a command of the built program loads: its own files, and how many there are of packages. */
async function loadedFor(...argv: readonly string[]): Promise<{ own: string[]; packages: string[] }> {
  const folder = await tempDir('loaded');
  const hook = join(folder, 'hook.mjs');
  const list = join(folder, 'list');
  await writeFile(
    hook,
    `import { registerHooks } from 'node:module';
import { appendFileSync } from 'node:fs';
registerHooks({ load(url, context, next) { if (url.startsWith('file:')) appendFileSync(${JSON.stringify(list)}, url + '\\n'); return next(url, context); } });
`,
  );
  const child = spawn(process.execPath, ['--import', hook, builtMain, ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number>((done) => child.once('close', (exit) => done(exit ?? -1)));
  expect([code, stderr]).toEqual([0, '']);
  const urls = readFileSync(list, 'utf8').trim().split('\n');
  return {
    own: urls.filter((url) => !url.includes('/node_modules/') && url.includes('/dist/')),
    packages: urls.filter((url) => url.includes('/node_modules/')),
  };
}

it('O16: a command that needs no server loads a few files, and no package from its own place', async () => {
  const folder = await tempDir('small');
  const config = join(folder, 'reprise.yml');
  await writeFile(config, 'version: 1\nclusters: { mairie: { connection: { user: reprise }, databases: [mairie] } }\n');
  // Time depends on the machine: the number of files, which is what took it, does not.
  for (const argv of [
    ['version'],
    ['--help'],
    ['config', 'check', '--config', config],
    ['config', 'show', '--config', config],
    ['completion', 'bash'],
    ['complete', '--', '--config', config, 'recover', ''],
  ]) {
    const { own, packages } = await loadedFor(...argv);
    expect([argv, packages]).toEqual([argv, []]);
    expect(own.length).toBeLessThan(60);
  }
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
