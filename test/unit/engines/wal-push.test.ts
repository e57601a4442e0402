import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { IDENTITY_FILE } from '../../../src/domain/storage/repository-identity.js';
import { archiveCommand as basebackupCommand } from '../../../src/engines/basebackup/wal/wal-commands.js';
import { archiveCommand as walgCommand, knownMarker } from '../../../src/engines/walg/wal/recovery-wal.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';

const segment = '000000010000000000000001';

/** As PostgreSQL would run it; its exit code and what it printed. */
async function push(command: string, path: string): Promise<string> {
  const filled = command.replaceAll('%p', path).replaceAll('%f', segment).replaceAll('%%', '%');
  return promisify(execFile)('/bin/sh', ['-c', filled]).then(
    () => 'archived',
    (error: { code: number; stderr: string }) => `${error.code}: ${error.stderr.trim()}`,
  );
}

test('W1: archive_command of a base backup policy refuses a directory without the marker, also where the folders are there', async () => {
  const root = await tempDir('push');
  const [repository, wal] = [join(root, 'repository'), join(root, segment)];
  await writeFile(wal, 'WAL');
  const storage = openDirectory({ path: repository });
  const context = {
    cluster: { name: 'mairie' },
    policy: { name: 'base', options: { wal: 'archive_command' } },
    storage,
  };
  const command = () => basebackupCommand(context as never) ?? '';
  await storage.prepare('mairie/base/wal');
  // Before there is a marker, as in a repository of an earlier version.
  expect(await push(command(), wal)).toBe('archived');
  await storage.createIfAbsent(IDENTITY_FILE, '{}');
  const guarded = command();
  expect(await push(guarded, wal)).toBe('archived');
  await rm(repository, { recursive: true });
  await mkdir(join(repository, 'mairie/base/wal'), { recursive: true });
  expect(await push(guarded, wal)).toBe(`1: ${join(repository, IDENTITY_FILE)} is missing: this is not the repository`);
  await expect(stat(join(repository, `mairie/base/wal/${segment}.gz`))).rejects.toThrow('ENOENT');
});

test('W1: archive_command of WAL-G, once the marker is known on the host, makes no directory in place of a disk that is not mounted', async () => {
  const root = await tempDir('push-walg');
  const [prefix, envFile, wal, binary] = [
    join(root, 'prefix'),
    join(root, 'walg.env'),
    join(root, 'wal'),
    join(root, 'wal-g'),
  ];
  await writeFile(envFile, `WALG_FILE_PREFIX=${prefix}\n`);
  await writeFile(wal, 'WAL');
  // What WAL-G does: it makes the folders that are missing.
  await writeFile(binary, '#!/bin/sh\nmkdir -p "$WALG_FILE_PREFIX/wal_005" && cp "$2" "$WALG_FILE_PREFIX/wal_005/"\n');
  await chmod(binary, 0o755);
  const command = walgCommand({ policy: { options: { envFile, binary } } } as never);
  expect(await push(command, wal)).toBe('archived');
  await writeFile(join(prefix, IDENTITY_FILE), '{}');
  await writeFile(knownMarker(envFile), '');
  expect(await push(command, wal)).toBe('archived');
  await rm(prefix, { recursive: true });
  expect(await push(command, wal)).toMatch(/^1: /);
  await expect(stat(prefix)).rejects.toThrow('ENOENT');
  // A bucket cannot be unmounted.
  await writeFile(envFile, 'WALG_S3_PREFIX=s3://bucket/folder\n');
  await writeFile(binary, `#!/bin/sh\necho "$2" >${join(root, 'pushed')}\n`);
  expect(await push(command, wal)).toBe('archived');
  expect(await readFile(join(root, 'pushed'), 'utf8')).toBe(`${wal}\n`);
});
