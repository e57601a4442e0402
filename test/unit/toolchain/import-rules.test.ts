import { execFile } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { tempDir } from '../../helpers/temp.js';

/** Runs the committed rules over a small src/ of our own; returns the names of the rules it breaks. */
async function broken(files: Record<string, string>): Promise<string[]> {
  const root = await tempDir('import-rules');
  await symlink(resolve('node_modules'), join(root, 'node_modules'));
  const written = {
    'package.json': '{"type":"module","dependencies":{"execa":"*","pg":"*","zod":"*"}}',
    'tsconfig.json': '{}',
  };
  for (const [path, text] of Object.entries({ ...written, ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  const cruiser = resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const argv = [cruiser, '--config', resolve('.dependency-cruiser.cjs'), '--output-type', 'json', 'src'];
  const stdout = await new Promise<string>((done) => {
    execFile(process.execPath, argv, { cwd: root, maxBuffer: 1e8 }, (_error, output) => {
      done(output);
    });
  });
  const { summary } = JSON.parse(stdout) as { summary: { violations: { rule: { name: string } }[] } };
  return [...new Set(summary.violations.map(({ rule }) => rule.name))].sort();
}

test('an import that the table allows passes', async () => {
  const rules = await broken({
    'src/domain/plan.ts': 'export const plan = 1;',
    'src/activities/copy.ts': "import { plan } from '../domain/plan.js'; export interface Copy { run(): typeof plan }",
    'src/workflows/recover.ts': "import type { Copy } from '../activities/copy.js'; export type Recover = Copy;",
  });
  expect(rules).toEqual([]);
});

test('an engine may import what engines share', async () => {
  const rules = await broken({
    'src/engines/logical/dump.ts': "import '../shared/hash.js';",
    'src/engines/shared/hash.ts': 'export {};',
  });
  expect(rules).toEqual([]);
});

test('zod is kept out of the workflow bundle, also behind a module of domain', async () => {
  const rules = await broken({
    'src/domain/operation/orders.ts':
      "import { z } from 'zod'; export const order = z.string(); export type Order = string;",
    'src/domain/text.ts': "import { order } from './operation/orders.js'; export { order };",
    'src/workflows/recover.ts': "import { order } from '../domain/text.js'; export { order };",
  });
  expect(rules).toEqual(['no-zod-in-workflows']);
  const hidden = await broken({ 'src/domain/text.ts': "import { z } from 'zod'; export const text = z.string();" });
  expect(hidden).toEqual(['domain-has-few-schemas']);
});

test('workflows know the orders as types', async () => {
  const rules = await broken({
    'src/domain/operation/orders.ts':
      "import { z } from 'zod'; export const order = z.string(); export type Order = string;",
    'src/workflows/backup.ts': "import type { Order } from '../domain/operation/orders.js'; export type Input = Order;",
  });
  expect(rules).toEqual([]);
});

test('an engine that knows another engine is caught', async () => {
  const rules = await broken({
    'src/engines/logical/dump.ts': "import '../pgbackrest/stanza.js';",
    'src/engines/pgbackrest/stanza.ts': 'export {};',
  });
  expect(rules).toEqual(['engines-know-no-other']);
});

test('a workflow that loads an activity or Node is caught', async () => {
  const rules = await broken({
    'src/activities/copy.ts': 'export const copy = 1;',
    'src/workflows/recover.ts': "import { copy } from '../activities/copy.js'; import 'node:fs'; export { copy };",
  });
  expect(rules).toEqual(['workflows-are-deterministic', 'workflows-knows-activities-as-types']);
});

test('impure domain, a program started elsewhere, an unknown folder and a cycle are caught', async () => {
  const rules = await broken({
    'src/domain/a.ts': "import './b.js'; import 'node:os';",
    'src/domain/b.ts': "import './a.js';",
    'src/postgres/run.ts': "import { execa } from 'execa'; export { execa };",
    'src/records/r.ts': "import 'node:child_process'; import '../storage/s3/client.js';",
    'src/storage/s3/client.ts': 'export {};',
    'src/utils/u.ts': "import '../domain/a.js';",
  });
  expect(rules).toEqual([
    'domain-is-pure',
    'known-folders-only',
    'no-cycles',
    'only-process-starts-programs',
    'records-imports-only-what-it-may',
  ]);
});
