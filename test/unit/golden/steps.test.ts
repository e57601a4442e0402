import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';
import { golden } from '../../helpers/golden.js';
import { section } from '../../helpers/shape.js';

const source = fileURLToPath(new URL('../../../src/', import.meta.url));

/** `step: 'x'`, `step = 'x'`, and a name handed on behind what it is worked with: `(context, 'x'`, `(work, step, 'x'`. */
const NAMES =
  /(?:\bstep\s*[:=]|\(\s*(?:work|clusterContext),\s*step,)\s*(?:'([^'\n]+)'|`([^`\n]+)`)|\(\s*context,\s*(?:'([^'\s]+)'|`([^`\s]+)`)/g;

/**
 * Read from the text of the source, for the keys of jobs that take an engine's own server to form, and steps that few
 * recoveries take. Where a name is only formed in another way, not changed, the file may be written anew.
 */
it('jobs, records and the ledger name their steps as they always have, wherever the source does it', async () => {
  const files = (await readdir(source, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const found = new Set<string>();
  for (const file of files) {
    const text = await readFile(join(source, file), 'utf8');
    for (const [, ...names] of text.matchAll(NAMES)) found.add(names.join('').replaceAll(/\$\{[^}]*\}/g, '*'));
  }
  const made = section('names of steps (* where a value stands)', [...found].toSorted());
  expect(made).toBe(await golden(new URL('steps.golden.txt', import.meta.url), made));
});
