import { sha256Hex } from '../../../src/records/digest.js';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import {
  bindConfiguration,
  loadConfiguration,
  removeConfiguration,
  storeConfiguration,
} from '../../../src/activities/backup/configuration.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { BackupConfiguration } from '../../../src/domain/backup/backup.js';
import type { PolicyConfig } from '../../../src/domain/config.js';
import type { Configuration } from '../../../src/postgres/recovery/configuration.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { makeAgeKey } from '../../helpers/age.js';
import { tempDir } from '../../helpers/temp.js';

const found: Configuration = {
  dataDirectory: '/data',
  main: { config_file: '/etc/postgresql/15/main/postgresql.conf' },
  files: [
    { path: '/etc/postgresql/15/main/postgresql.conf', mode: 0o640, text: "primary_conninfo = 'password=s3cret'\n" },
  ],
  certificates: ['/etc/ssl/private/server.key'],
  notCaptured: [],
};

const named = (stored: BackupConfiguration) => ({ ...stored, key: stored.key ?? '', bound: stored.sha256 });

async function given(encryption?: PolicyConfig['encryption']) {
  const root = await tempDir('repository');
  const storage = openDirectory({ path: root });
  const engine = { capabilities: { method: 'data-directory' } };
  const session = {
    user: null,
    deps: { config: { repositories: { local: {} } }, openStorage: () => storage, engineOf: () => engine },
  } as unknown as ClusterContext;
  const policy = {
    name: 'physical',
    cluster: 'mairie',
    repository: 'local',
    ...(encryption ? { encryption } : {}),
  } as PolicyConfig;
  return { root, storage, session, policy };
}

it('F39: where the policy encrypts, the configuration is kept whole and only encrypted; it comes back as it was', async () => {
  const key = await makeAgeKey();
  const { root, session, policy } = await given({ recipients: [key.recipient], identity: { file: key.file } });
  const stored = await storeConfiguration(session, policy, '20261121-021500F', found);
  expect(stored).toEqual({
    key: 'mairie/physical/configuration/20261121-021500F.json.age',
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    files: found.files.map(({ path }) => path),
    masked: 0,
    certificates: found.certificates,
    notCaptured: [],
  });
  const text = await readFile(join(root, stored.key ?? ''), 'utf8');
  expect(text).toContain('BEGIN AGE ENCRYPTED FILE');
  expect(text).not.toMatch(/s3cret|primary_conninfo/);
  expect(await loadConfiguration(session, policy, named(stored))).toEqual(found);
  await expect(
    loadConfiguration(session, { ...policy, encryption: { recipients: [key.recipient] } }, named(stored)),
  ).rejects.toMatchObject({ code: 'key-missing' });
});

it('F39: where it does not, secrets are masked; it is removed with its backup', async () => {
  const { session, policy, storage } = await given();
  const stored = await storeConfiguration(session, policy, 'b1', found);
  expect(stored.masked).toBe(1);
  expect((await loadConfiguration(session, policy, named(stored))).files[0]?.text).toBe(
    "primary_conninfo = 'password=***'\n",
  );
  await removeConfiguration(session, policy, 'b1');
  await removeConfiguration(session, policy, 'b1');
  expect(await storage.stat(stored.key ?? '')).toBeNull();
});

it('F37: what somebody changed in the repository is not put back, nor a file that the record does not name', async () => {
  const { session, policy, storage } = await given();
  const stored = await storeConfiguration(session, policy, 'b1', found);
  const whole = JSON.parse((await storage.read(stored.key ?? '')).toString()) as Configuration;
  const harmed = JSON.stringify({
    ...whole,
    files: [{ path: '/etc/postgresql/15/main/postgresql.conf', mode: 0o640, text: "archive_command = 'evil'" }],
  });
  await storage.write(stored.key ?? '', harmed);
  await expect(loadConfiguration(session, policy, named(stored))).rejects.toMatchObject({ code: 'backup-corrupt' });
  for (const path of ['/etc/cron.d/evil', '/etc/postgresql/15/main/../../../cron.d/evil', 'evil']) {
    const body = JSON.stringify({ ...whole, files: [{ path, mode: 0o640, text: 'evil' }] });
    await storage.write(stored.key ?? '', body);
    const { sha256: _none, ...older } = { ...named(stored), bound: sha256Hex(body) };
    await expect(
      loadConfiguration(session, policy, { ...older, files: path === '/etc/cron.d/evil' ? older.files : [path] }),
    ).rejects.toMatchObject({ code: 'backup-corrupt', message: expect.stringContaining(path) });
  }
});

it('G1: what is put back is what was approved, parsed by a schema; without an approved hash nothing is', async () => {
  const { session, policy, storage } = await given();
  const stored = await storeConfiguration(session, policy, 'b1', found);
  const key = stored.key ?? '';
  const whole = JSON.parse((await storage.read(key)).toString()) as Configuration;
  const approved = (await bindConfiguration(session, policy, { configuration: stored }))['configuration'];
  expect(approved).toBe(stored.sha256);
  await expect(loadConfiguration(session, policy, { ...named(stored), bound: undefined })).rejects.toMatchObject({
    code: 'backup-corrupt',
    message: expect.stringContaining('no SHA-256 of it was approved'),
  });
  // The record of it, in the same repository, was corrected too.
  const harmed = (changed: object): string => JSON.stringify({ ...whole, ...changed });
  for (const changed of [
    { files: [{ ...whole.files[0], mode: 0o4755 }] },
    { main: { "x = ''\narchive_command": 'evil' } },
    { files: [{ ...whole.files[0], text: "archive_command = 'evil'" }] },
  ]) {
    const body = harmed(changed);
    await storage.write(key, body);
    const record = { ...named(stored), sha256: sha256Hex(body) };
    await expect(loadConfiguration(session, policy, { ...record, bound: approved })).rejects.toMatchObject({
      message: expect.stringContaining('not the one that was approved'),
    });
    // Approved as it is, its form is looked at.
    const anyway = loadConfiguration(session, policy, { ...record, bound: sha256Hex(body) });
    if ('files' in changed && changed.files?.[0]?.mode !== 0o4755) await anyway;
    else await expect(anyway).rejects.toMatchObject({ message: expect.stringContaining('unknown form') });
  }
});
