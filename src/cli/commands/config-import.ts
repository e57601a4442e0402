import { Option } from 'commander';
import type { Command } from 'commander';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { GivenFile, Imported } from '../../config/import/import.js';
import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';

interface ImportOptions {
  readonly global: string;
  readonly postgres: string;
  readonly pgbackrest?: string;
  readonly write?: string;
  readonly overwrite?: boolean;
}

/** `reprise config import` */
export function registerImport(parent: Command, cli: Cli): void {
  define<ImportOptions>(parent, cli, {
    usage: 'import',
    summary: 'make a reprise.yml of config_global.yml and config_postgres.yml',
    description: 'The result goes to stdout, what was read and what was not to stderr. No password is copied.',
    examples: [
      'config import --global config/config_global.yml --postgres config/config_postgres.yml',
      'config import --global config_global.yml --postgres config_postgres.yml --pgbackrest /etc/pgbackrest/pgbackrest.conf --write reprise.yml',
    ],
    options: [
      new Option('--global <file>', 'config_global.yml, with backup.postgres').makeOptionMandatory(),
      new Option('--postgres <file>', 'config_postgres.yml, with connection').makeOptionMandatory(),
      new Option('--pgbackrest <file>', 'an existing pgbackrest.conf, for a policy of engine pgbackrest'),
      new Option('--write <file>', 'write the result there (default: stdout)'),
      new Option('--overwrite', 'with --write: replace a file that is there'),
    ],
    run: async (self, _args, options) => {
      const { importConfig } = await import('../../config/import/import.js');
      const target = resolve(options.write ?? 'reprise.yml');
      const imported = importConfig({
        global: await given(options.global),
        postgres: await given(options.postgres),
        ...(options.pgbackrest === undefined
          ? {}
          : { pgbackrest: { ...(await given(options.pgbackrest)), path: resolve(options.pgbackrest) } }),
        target,
      });
      if (options.write !== undefined) await write(target, imported.yaml, options.overwrite === true);
      if (self.format === 'table') self.say(report(imported));
      await self.print({ file: options.write === undefined ? null : target, ...imported }, ({ yaml }) =>
        options.write === undefined ? yaml : `wrote ${target}`,
      );
    },
  });
}

async function given(file: string): Promise<GivenFile> {
  try {
    return { text: await readFile(file, 'utf8'), label: basename(file) };
  } catch (error) {
    throw new RepriseError(
      'config-not-found',
      `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`,
      'name the file as it lies on this machine',
    );
  }
}

async function write(target: string, text: string, overwrite: boolean): Promise<void> {
  try {
    await writeFile(target, text, { mode: 0o644, flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new RepriseError(
        'conflict',
        `${target} exists already and is not overwritten`,
        'name another file, or give --overwrite',
      );
    throw new RepriseError(
      'config-invalid',
      `${target} cannot be written: ${code ?? 'unknown'}`,
      'name a place that this user may write to',
    );
  }
}

function report({ read, notRead, added, warnings, next }: Imported): string {
  const block = (title: string, lines: readonly string[]): string =>
    lines.length === 0 ? '' : `${title}\n${lines.map((line) => `  ${line}`).join('\n')}`;
  return [
    block(
      'read:',
      read.map(({ from, to }) => `${from}  ->  ${to}`),
    ),
    block(
      'not read:',
      notRead.map(({ from, to }) => `${from}  (${to})`),
    ),
    block('added:', added),
    block('warning:', warnings),
    block(
      'next:',
      next.map((step, index) => `${index + 1}. ${step}`),
    ),
  ]
    .filter(Boolean)
    .join('\n');
}
