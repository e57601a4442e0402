import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { wholeProgram } from '../../helpers/cli.js';
import { cliReference } from '../../helpers/reference/cli.js';
import { configJsonSchema, configReference } from '../../helpers/reference/config.js';
import { errorReference } from '../../helpers/reference/errors.js';
import { guaranteesPage } from '../../helpers/reference/guarantees.js';

const repositoryRoot = join(import.meta.dirname, '../../..');

const pages: readonly (readonly [string, () => string | Promise<string>])[] = [
  ['reference/cli.md', () => cliReference(wholeProgram())],
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
