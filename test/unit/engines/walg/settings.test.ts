import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, test } from '@jest/globals';
import { execa } from 'execa';
import { parseEnvFile, prefixOf } from '../../../../src/engines/walg/env-file.js';
import { WALG } from '../../../../src/engines/walg/tool-rules.js';
import { toolFailure } from '../../../../src/process/exec/tool-rules.js';
import { archiveCommand, restoreCommand } from '../../../../src/engines/walg/wal/recovery-wal.js';
import { knowsPostgres15, parseVersion } from '../../../../src/engines/walg/version.js';
import { tempDir } from '../../../helpers/temp.js';

const failureOf = (command: string, output: string) =>
  toolFailure(WALG, { name: `wal-g ${command}`, exitCode: 1, output });

describe('environment files', () => {
  it('are read as a shell reads them', () => {
    const text = [
      '# export WALG_S3_PREFIX=s3://old',
      'export WALG_S3_PREFIX=s3://asso-prod-backups/postgres   # daily',
      `AWS_SECRET_ACCESS_KEY='it"s $(no) command'`,
      String.raw`  export WALG_PGP_KEY_PASSPHRASE="a \"b\" \$c \\d"`,
      'EMPTY=',
      '',
    ].join('\n');
    const settings = parseEnvFile(text, '/e');
    expect(Object.fromEntries(settings)).toEqual({
      WALG_S3_PREFIX: 's3://asso-prod-backups/postgres',
      AWS_SECRET_ACCESS_KEY: 'it"s $(no) command',
      WALG_PGP_KEY_PASSPHRASE: String.raw`a "b" $c \d`,
      EMPTY: '',
    });
    expect(prefixOf(settings)).toBe('s3://asso-prod-backups/postgres');
  });

  test.each([
    'A=$HOME/x',
    'A="$(id)"',
    'A=`id`',
    'A=b c',
    'A=b; id',
    'export A',
    'id',
    'A="b',
    "A='b'c",
    'A=b\r',
    'A=*',
    'A=b&',
  ])('F35, F39: %j is refused, and its value not shown', (line) => {
    const read = (): unknown => parseEnvFile(`WALG_FILE_PREFIX=/x\n${line}\n`, '/etc/walg.env');
    expect(read).toThrow(
      expect.objectContaining({ code: 'config-invalid', message: '/etc/walg.env:2 is no plain setting' }),
    );
  });
});

test('F35: commands that PostgreSQL runs in a shell are quoted, and % is doubled', () => {
  const context = (envFile: string) =>
    ({ policy: { options: { envFile, binary: 'wal-g' } } }) as unknown as Parameters<typeof restoreCommand>[0];
  expect(restoreCommand(context('/etc/walg.env'))).toMatch(
    /^umask 077 && set -a && \. \/etc\/walg\.env && wal-g wal-fetch "%f" "%p" && /,
  );
  expect(archiveCommand(context("/etc/it's 100% $(id).env"))).toBe(
    String.raw`umask 077 && set -a && . '/etc/it'\''s 100%% $(id).env' && { [ -z "$WALG_FILE_PREFIX" ] || [ ! -e '/etc/it'\''s 100%% $(id).env.repository' ] || [ -e "$WALG_FILE_PREFIX/reprise-repository.json" ]; } && exec wal-g wal-push "%p"`,
  );
});

test('F25: a segment that was fetched in part is none; a history has no length to compare', async () => {
  const directory = await tempDir('fetched');
  const [whole, at] = [join(directory, 'whole'), join(directory, 'at')];
  const content = Buffer.alloc(1 << 20, 1);
  content.writeUInt32LE(content.length, 32);
  await writeFile(whole, content);
  await writeFile(join(directory, 'env'), '');
  const fetches = join(directory, 'wal-g');
  const command = restoreCommand({
    policy: { options: { envFile: join(directory, 'env'), binary: fetches } },
  } as unknown as Parameters<typeof restoreCommand>[0]);
  const restored = async (bytes: number, name = '000000010000000000000003'): Promise<boolean> => {
    await writeFile(fetches, `#!/bin/sh\nhead -c ${bytes} '${whole}' >"$3"\n`, { mode: 0o755 });
    // As PostgreSQL fills it in, and as it is joined with what comes after.
    return execa('/bin/sh', [
      '-c',
      `( ${command.replaceAll('%p', at).replaceAll('%f', name).replaceAll('%%', '%')} ) || exit 1`,
    ]).then(
      () => true,
      () => false,
    );
  };
  expect(await restored(1 << 20)).toBe(true);
  for (const bytes of [(1 << 20) - 1, 1 << 19, 36, 20, 0]) expect(await restored(bytes)).toBe(false);
  expect(await restored(20, '00000002.history')).toBe(true);
});

test('F17: what a version can do is read from the program itself', () => {
  const help = (...commands: string[]): string =>
    [
      'Clears old backups and WALs',
      '',
      'Available Commands:',
      ...commands.map((name) => `  ${name.padEnd(12)}`),
      '',
    ].join('\n');
  const old = parseVersion('wal-g version v0.2.19\tdevel\tdevel\tPostgreSQL', help('before', 'everything', 'retain'));
  expect(old).toEqual({
    text: 'wal-g version v0.2.19 devel devel PostgreSQL',
    number: [0, 2, 19],
    deletesByTarget: false,
    deletesGarbage: false,
  });
  expect(knowsPostgres15(old)).toBe(false);
  const newer = parseVersion(
    'wal-g version v3.0.8\t1f3e51c\t2026.01.07_11:08:16\tPostgreSQL',
    help('before', 'everything', 'garbage', 'retain', 'target'),
  );
  expect(newer).toMatchObject({ number: [3, 0, 8], deletesByTarget: true, deletesGarbage: true });
  expect(knowsPostgres15(newer)).toBe(true);
  expect(knowsPostgres15(parseVersion('wal-g version v2.0.0', help('target')))).toBe(false);
  expect(parseVersion('wal-g version devel\tdevel\tdevel\tPostgreSQL', help('before')).number).toBeNull();
});

test('failures become errors with a code, the reason and what to do', () => {
  const said = (line: string) =>
    failureOf('backup-fetch', `INFO: 2026/11/21 15:10:48.622069 begun\nERROR: 2026/11/21 15:10:54.010953 ${line}\n`);
  expect(said("Failed to fetch backup: Backup 'base_0' does not exist.")).toMatchObject({
    code: 'not-found',
    message: expect.stringContaining("Backup 'base_0' does not exist") as unknown,
  });
  expect(
    said('part_001.tar.lz4 DecryptAndDecompressTar: lz4 decompress failed: lz4.Read: invalid frame checksum').code,
  ).toBe('backup-corrupt');
  expect(said('write /x: no space left on device').code).toBe('storage-full');
  expect(
    said(
      'QueryRunner StartBackup: pg_start_backup() failed: ERROR: function pg_start_backup(text, boolean, boolean) does not exist',
    ).code,
  ).toBe('version-mismatch');
  expect(
    said('RequestError: send request failed caused by: dial tcp 127.0.0.1:9: connect: connection refused').code,
  ).toBe('storage-unreachable');
  expect(said('something else')).toMatchObject({
    code: 'tool-failed',
    message: 'wal-g backup-fetch exited with 1: something else',
  });
});
