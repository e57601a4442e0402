import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { inspectHost } from '../../../src/doctor/inspect-host.js';
import type { Finding } from '../../../src/domain/findings.js';
import { openCatalogue } from '../../../src/records/catalogue.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { openStorage } from '../../../src/storage/open-storage.js';
import { makeAgeKey } from '../../helpers/age.js';
import type { AgeKey } from '../../helpers/age.js';
import { tempDir } from '../../helpers/temp.js';

let folder: string;
let key: AgeKey;
let escrow: AgeKey;

beforeEach(async () => {
  folder = await tempDir('doctor');
  for (const name of ['repo', 'state', 'data']) await mkdir(join(folder, name), { mode: 0o700 });
  [key, escrow] = await Promise.all([makeAgeKey(), makeAgeKey()]);
});

/** What doctor says of a host with one policy. */
async function allFindings(policy: string): Promise<readonly Finding[]> {
  const text = `version: 1
hosts: { db1: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    connection: { host: 127.0.0.1, port: 1, user: postgres }
    data_dir: ${folder}/data
    databases: [mairie]
    backups: { nightly: { ${policy} } }
`;
  return inspectHost(parseConfig(text, join(folder, 'reprise.yml')).config, 'db1');
}

/** What it says of the encryption of that policy. */
async function findings(policy: string): Promise<readonly Pick<Finding, 'level' | 'message' | 'fix'>[]> {
  return (await allFindings(policy)).filter(({ check }) => check === 'cluster/mairie/encryption/nightly');
}
const encrypted = (
  recipients: readonly string[],
  identity = `identity: { file: ${key.file} }`,
): Promise<readonly Pick<Finding, 'level' | 'message' | 'fix'>[]> =>
  findings(
    `engine: logical, proof: ${identity === '' ? 'none' : 'verify'}, encryption: { recipients: [${recipients.join(', ')}], ${identity} }`,
  );

async function proven(recipient: string, at: Date): Promise<void> {
  const storage = openStorage(
    { name: 'local', type: 'directory', options: { path: join(folder, 'repo') } },
    { secret: resolveSecret },
  );
  const catalogue = openCatalogue(storage, 'mairie');
  await catalogue.append({
    id: `key-proof/${recipient}/${at.toISOString()}`,
    at: at.toISOString(),
    operationId: 'key-proof',
    by: 'the notary',
    kind: 'key-proof',
    recipient,
  });
}
const DAY = 86_400_000;

describe('doctor on encryption', () => {
  it('S1: a policy that writes dumps and password hashes in plain is said', async () => {
    expect(await findings('engine: logical')).toEqual([
      expect.objectContaining({
        level: 'warning',
        message: expect.stringContaining('password hashes'),
        fix: expect.stringContaining('encryption:'),
      }),
    ]);
  });

  it('S1: one key only, and none of which a proof is younger than a year', async () => {
    const found = await encrypted([key.recipient]);
    expect(found.map(({ level }) => level)).toEqual(['warning', 'warning', 'ok']);
    expect(found[0]).toMatchObject({
      message: expect.stringContaining('for one key only'),
      fix: expect.stringContaining('escrow'),
    });
    expect(found[1]).toMatchObject({
      message: expect.stringContaining('it was not verified within the last year'),
      fix: 'reprise key prove mairie --policy nightly',
    });
    await proven(escrow.recipient, new Date(Date.now() - 400 * DAY));
    expect((await encrypted([key.recipient, escrow.recipient])).map(({ level }) => level)).toEqual(['warning', 'ok']);
    await proven(escrow.recipient, new Date(Date.now() - 300 * DAY));
    const good = await encrypted([key.recipient, escrow.recipient]);
    expect(good).toEqual([
      expect.objectContaining({
        level: 'ok',
        message: expect.stringContaining('1 of 2 verified within the last year'),
      }),
    ]);
  });

  it('S2: the key of another, one that is gone, and none at all', async () => {
    await proven(key.recipient, new Date());
    expect(
      await encrypted([key.recipient, escrow.recipient], `identity: { file: ${(await makeAgeKey()).file} }`),
    ).toEqual([
      expect.objectContaining({
        level: 'problem',
        message: expect.stringMatching(/^policy nightly of mairie: .*belongs to none of the recipients/),
        fix: expect.stringContaining('encryption.identity'),
      }),
    ]);
    expect(await encrypted([key.recipient, escrow.recipient], `identity: { file: ${folder}/gone }`)).toEqual([
      expect.objectContaining({ level: 'problem', message: expect.stringContaining('does not exist') }),
    ]);
    expect((await encrypted([key.recipient, escrow.recipient], ''))[0]).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('this host has no key'),
    });
  });

  it('a repository that is not there is not made by looking for proofs', async () => {
    await rm(join(folder, 'repo'), { recursive: true });
    expect((await encrypted([key.recipient])).map(({ level }) => level)).toEqual(['warning', 'warning', 'ok']);
    expect(await readdir(folder)).not.toContain('repo');
  });

  it("S1, F39: pgBackRest's own encryption is reported, its passphrase is not", async () => {
    const policy = `engine: pgbackrest, options: { stanza: main, config: ${folder}/pgbackrest.conf }`;
    const write = (lines: string) =>
      writeFile(
        join(folder, 'pgbackrest.conf'),
        `[global]\nrepo1-path=/nowhere\n${lines}\n[main]\npg1-path=/nowhere\n`,
      );
    await write('');
    expect(await findings(policy)).toEqual([
      expect.objectContaining({
        level: 'warning',
        message: expect.stringContaining('unencrypted'),
        fix: expect.stringContaining('repo1-cipher-type=aes-256-cbc'),
      }),
    ]);
    await write(`repo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=${key.secret}`);
    const found = await findings(policy);
    expect(found).toEqual([
      expect.objectContaining({ level: 'ok', message: expect.stringContaining('encrypted on their storage') }),
    ]);
    expect(JSON.stringify(found)).not.toContain(key.secret);
    await rm(join(folder, 'pgbackrest.conf'));
    // Once, whatever else needs the file.
    expect((await allFindings(policy)).filter(({ message }) => message.includes('ENOENT'))).toEqual([
      expect.objectContaining({ level: 'problem', message: expect.stringContaining('pgbackrest.conf') }),
    ]);
  });
});
