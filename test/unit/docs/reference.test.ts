import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { buildProgram } from '../../../src/client/cli/program.js';
import { cliReference } from '../../helpers/reference/cli.js';
import { configJsonSchema, configReference } from '../../helpers/reference/config.js';
import { errorReference } from '../../helpers/reference/errors.js';
import { guaranteesPage } from '../../helpers/reference/guarantees.js';

const repositoryRoot = join(import.meta.dirname, '../../..');
const services = new Proxy({}, { get: () => () => Promise.reject(new Error('not here')) });
const silent = { env: {}, interactive: false, live: false, columns: 100, out: () => undefined, err: () => undefined, paint: (_c: string, text: string) => text, setColor: () => undefined };

const pages: readonly (readonly [string, () => string | Promise<string>])[] = [
  ['reference/cli.md', () => cliReference(buildProgram(services as never, silent as never))],
  ['reference/config.md', configReference],
  ['reference/errors.md', errorReference],
  ['reference/reprise.schema.json', () => `${JSON.stringify(configJsonSchema(), null, 1)}\n`],
  ['guarantees.md', () => guaranteesPage(repositoryRoot)],
];

describe('docs made from code', () => {
  it.each(pages)('%s is what the code says (npm run docs writes it)', async (name, made) => {
    const file = join(repositoryRoot, 'docs', name);
    if (process.env['REPRISE_WRITE_DOCS'] === '1') {
      await mkdir(join(repositoryRoot, 'docs', 'reference'), { recursive: true });
      await writeFile(file, await made());
    }
    expect(await readFile(file, 'utf8')).toBe(await made());
  });
});
