import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { pgbackrestArgv } from '../../../../src/engines/pgbackrest/command.js';
import { configDigest, configFiles, inspectPgbackrestPlace } from '../../../../src/engines/pgbackrest/config-file.js';
import { configPlaces } from '../../../../src/engines/pgbackrest/config-places.js';
import { pgbackrestOptions, readPgbackrestOptions } from '../../../../src/engines/pgbackrest/options.js';
import type { PgbackrestOptions } from '../../../../src/engines/pgbackrest/options.js';
import { archiveCommand } from '../../../../src/engines/pgbackrest/wal/recovery-wal.js';
import { tempDir } from '../../../helpers/temp.js';

const read = (options: object): PgbackrestOptions =>
  readPgbackrestOptions(pgbackrestOptions.parse({ stanza: 'mairie', ...options }));
const policy = (options: object) => ({ policy: { options: read(options) } }) as never;

test('W11: pgBackRest is told of the places that the policy names, and of no others', () => {
  expect(pgbackrestArgv(policy({}), 'info')).toEqual(['pgbackrest', '--stanza=mairie', 'info']);
  expect(pgbackrestArgv(policy({ config: '/c' }), 'info')).toEqual([
    'pgbackrest',
    '--config=/c',
    '--stanza=mairie',
    'info',
  ]);
  const both = policy({ config_path: '/etc/pgb', config_include_path: "/etc/it's" });
  expect(pgbackrestArgv(both, 'info')).toEqual([
    'pgbackrest',
    '--config-path=/etc/pgb',
    "--config-include-path=/etc/it's",
    '--stanza=mairie',
    'info',
  ]);
  expect(archiveCommand(both)).toBe(
    String.raw`pgbackrest --config-path=/etc/pgb --config-include-path='/etc/it'\''s' --stanza=mairie --no-neutral-umask archive-push %p`,
  );
});

test('W11: the configuration is looked for where pgBackRest looks for it', () => {
  expect(configPlaces(read({}))).toEqual({
    file: '/etc/pgbackrest/pgbackrest.conf',
    otherwise: '/etc/pgbackrest.conf',
    fileRequired: false,
    include: '/etc/pgbackrest/conf.d',
    includeRequired: false,
  });
  expect(configPlaces(read({ config: '/c' }))).toMatchObject({ file: '/c', fileRequired: true, include: null });
  expect(configPlaces(read({ config: '/c', config_path: '/p' }))).toMatchObject({ file: '/c', include: '/p/conf.d' });
  expect(configPlaces(read({ config: '/c', config_include_path: '/i' }))).toMatchObject({
    file: '/c',
    include: '/i',
    includeRequired: true,
  });
  expect(configPlaces(read({ config_path: '/p' }))).toMatchObject({
    file: '/p/pgbackrest.conf',
    otherwise: null,
    include: '/p/conf.d',
  });
});

test('W11: files of the include directory are read after the main one, by their names, and belong to what a plan binds', async () => {
  const etc = await tempDir('pgbackrest-etc');
  const include = join(etc, 'conf.d');
  await mkdir(include);
  const options = { configPath: etc, ...read({ config_path: etc }) };
  await expect(configFiles(options)).rejects.toMatchObject({ code: 'config-invalid' });
  await writeFile(join(etc, 'pgbackrest.conf'), '[global]\nrepo1-path=/backup/one\n', { mode: 0o600 });
  const digest = () => configDigest({ options } as never);
  const alone = await digest();
  await writeFile(join(include, 'b.conf'), '[mairie]\npg1-path=/data\nrepo1-path=/backup/two\n', { mode: 0o600 });
  await writeFile(join(include, 'a.conf'), '[global]\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=x\n', {
    mode: 0o644,
  });
  await writeFile(join(include, 'ignored.txt'), '[mairie]\nrepo1-path=/backup/three\n');
  expect(await configFiles(options)).toEqual([
    join(etc, 'pgbackrest.conf'),
    join(include, 'a.conf'),
    join(include, 'b.conf'),
  ]);
  expect(await digest()).not.toBe(alone);
  expect(await inspectPgbackrestPlace(options)).toMatchObject({
    path: '/backup/two',
    encrypted: true,
    warnings: [
      `${join(include, 'a.conf')} contains a secret and can be read by other users; run: chmod 600 ${join(include, 'a.conf')}`,
    ],
  });
});
