import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

const source = fileURLToPath(new URL('../../../src/', import.meta.url));

/** Files and packages loaded before the first command runs: static imports, types left out. */
function loadedAtStart(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name = ''] of text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)) {
    if (!name.startsWith('.')) seen.add(name);
    else loadedAtStart(resolve(dirname(file), name.replace(/\.js$/, '.ts')), seen);
  }
  return seen;
}

it('the command line starts with nothing heavy: no Temporal client, no schema, no other room', () => {
  const loaded = [...loadedAtStart(join(source, 'main.ts'))];
  expect(loaded.filter((name) => name.startsWith(source)).every((file) => existsSync(file))).toBe(true);
  const packages = loaded.filter((name) => !name.startsWith('/') && !name.startsWith('node:'));
  expect(packages).toEqual(['commander']);
  const rooms = new Set(
    loaded.filter((name) => name.startsWith(source)).map((file) => file.slice(source.length).split('/')[0]),
  );
  expect([...rooms].sort()).toEqual(['cli', 'client', 'domain', 'main.ts']);
});
