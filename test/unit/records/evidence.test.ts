import { execFile } from 'node:child_process';
import { appendFile, cp, mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { openCatalogue } from '../../../src/records/catalogue.js';
import { type Sealed, sealEvidence, sealedEvidence } from '../../../src/records/evidence/chain.js';
import { lostEvidence } from '../../../src/records/evidence/recorded.js';
import { NAMESPACE } from '../../../src/records/evidence/manifest.js';
import { checkSshSignature, parsePublicKeys } from '../../../src/records/evidence/ssh-signature.js';
import { verifyEvidence } from '../../../src/records/evidence/verify.js';
import { type SshSigner, openSshSigner } from '../../../src/process/exec/ssh-signing.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import type { WritableStorage } from '../../../src/storage/storage.js';
import { tempDir } from '../../helpers/temp.js';
import { drillOutcomeOf } from '../../workflows/drills.js';
import { fact } from './samples.js';

const run = promisify(execFile);
const drillOf = (number: number) => `20261101t02000${number}-aaaa`;

let keys: string;
let publicKey: string;
let otherKey: string;
let signer: SshSigner;

async function makeKey(name: string, ...how: readonly string[]): Promise<string> {
  const path = join(keys, name);
  await run('ssh-keygen', ['-q', ...how, '-N', '', '-C', 'evidence of the town', '-f', path]);
  return path;
}

beforeAll(async () => {
  keys = await tempDir('keys');
  const own = await makeKey('own', '-t', 'ed25519');
  publicKey = await readFile(`${own}.pub`, 'utf8');
  otherKey = await readFile(`${await makeKey('other', '-t', 'ed25519')}.pub`, 'utf8');
  signer = await openSshSigner(own, NAMESPACE);
});

const unsealed = (number: number, key: SshSigner | null = signer) => ({
  about: {
    ...{ cluster: 'mairie', drill: drillOf(number), verdict: 'pass' as const },
    ...{ startedAt: '2026-11-01T02:00:00.000Z', finishedAt: '2026-11-01T03:00:00.000Z' },
  },
  files: new Map([
    ['plan.json', `{"number": ${number}}\n`],
    ['report.md', '# Drill\n'],
    ['logs/restore.log', 'restored\n'],
  ]),
  signer: key,
});

/** A repository with so many drills; the path is the folder of their evidence. */
async function drills(count: number, key: SshSigner | null = signer, writable = true) {
  const root = await tempDir('repository');
  const storage = openDirectory({ path: root });
  const sealed: Sealed[] = [];
  for (let number = 1; number <= count; number++) sealed.push(await sealEvidence(storage, unsealed(number, key)));
  const path = join(root, 'mairie', 'evidence');
  if (writable) await run('chmod', ['-R', 'u+w', path]);
  return { storage, sealed, path };
}

const codes = async (path: string, key = publicKey) =>
  (await verifyEvidence(path, key)).problems.map(({ code, where }) => `${code} ${where}`.trim());

describe('the evidence of drills', () => {
  it('V4: drills are numbered, each names the one before, and all of them are verified from files and a public key', async () => {
    const { path, sealed } = await drills(3);
    expect(sealed.map(({ sequence, signed }) => [sequence, signed])).toEqual([
      [1, true],
      [2, true],
      [3, true],
    ]);
    const found = await verifyEvidence(path, publicKey);
    expect(found).toMatchObject({ ok: true, problems: [], startsAt: [] });
    expect(found.drills.map(({ sequence, drill, signedBy, files }) => [sequence, drill, signedBy, files])).toEqual(
      [1, 2, 3].map((number) => [number, drillOf(number), signer.fingerprint, 4]),
    );
    // One alone: what came before is not said to be good.
    expect(await verifyEvidence(join(path, drillOf(2)), publicKey)).toMatchObject({
      ...{ ok: true, startsAt: [{ cluster: 'mairie', sequence: 2 }] },
    });
    await expect(verifyEvidence(join(path, 'chain'), publicKey)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('V4: what was changed, added, left out, reordered or signed by another is found, each in its own words', async () => {
    const { path: whole } = await drills(4);
    const [one, two, three, four] = [1, 2, 3, 4].map(drillOf) as [string, string, string, string];
    const damages: readonly [string, (path: string) => Promise<unknown>, readonly string[]][] = [
      ['a byte', (path) => appendFile(join(path, two, 'plan.json'), ' '), [`file-changed ${two}/plan.json`]],
      ['a file gone', (path) => rm(join(path, two, 'logs/restore.log')), [`file-missing ${two}/logs/restore.log`]],
      ['a file more', (path) => writeFile(join(path, two, 'note.txt'), 'x'), [`file-added ${two}/note.txt`]],
      [
        'a link for a file',
        async (path) => {
          await rename(join(path, two, 'plan.json'), join(path, 'plan.json'));
          await symlink(join(path, 'plan.json'), join(path, two, 'plan.json'));
        },
        [`file-missing ${two}/plan.json`],
      ],
      ['sums changed', (path) => writeFile(join(path, two, 'SHA256SUMS'), ''), [`file-changed ${two}/SHA256SUMS`]],
      ['unsigned', (path) => rm(join(path, two, 'manifest.json.sig')), [`not-signed ${two}`]],
      [
        'a manifest changed',
        async (path) => {
          const file = join(path, two, 'manifest.json');
          await writeFile(file, (await readFile(file, 'utf8')).replace('"pass"', '"fail"'));
        },
        [`signature-wrong ${two}`, `chain-broken ${three}`, 'chain-broken chain/00000002.json'],
      ],
      [
        'a manifest gone',
        (path) => rm(join(path, two, 'manifest.json')),
        [`manifest-unreadable ${two}`, `drill-missing ${three}`, 'drill-missing chain/00000002.json'],
      ],
      [
        'a drill gone from the middle',
        (path) => rm(join(path, two), { recursive: true }),
        [`drill-missing ${three}`, 'drill-missing chain/00000002.json'],
      ],
      [
        'two drills gone, with their numbers',
        async (path) => {
          for (const name of [two, three, 'chain']) await rm(join(path, name), { recursive: true });
        },
        [`drill-missing ${four}`],
      ],
      [
        'the last drill gone',
        (path) => rm(join(path, four), { recursive: true }),
        ['drill-missing chain/00000004.json'],
      ],
      [
        'numbers exchanged',
        async (path) => {
          await rename(join(path, 'chain/00000002.json'), join(path, 'x'));
          await rename(join(path, 'chain/00000003.json'), join(path, 'chain/00000002.json'));
          await rename(join(path, 'x'), join(path, 'chain/00000003.json'));
        },
        ['chain-reordered chain/00000002.json', 'chain-reordered chain/00000003.json'],
      ],
      [
        'folders exchanged',
        async (path) => {
          await rename(join(path, one, 'manifest.json'), join(path, 'x'));
          await rename(join(path, two, 'manifest.json'), join(path, one, 'manifest.json'));
          await rename(join(path, 'x'), join(path, two, 'manifest.json'));
        },
        [
          `signature-wrong ${one}`,
          `file-changed ${one}/plan.json`,
          `file-changed ${one}/SHA256SUMS`,
          `signature-wrong ${two}`,
          `file-changed ${two}/plan.json`,
          `file-changed ${two}/SHA256SUMS`,
        ],
      ],
      [
        'a copy of a drill',
        (path) => cp(join(path, two), join(path, 'copy'), { recursive: true }),
        [`sequence-twice copy`],
      ],
    ];
    for (const [what, damage, expected] of damages) {
      const path = join(await tempDir('copy'), 'evidence');
      await cp(whole, path, { recursive: true });
      await damage(path);
      expect([what, await codes(path)]).toEqual([what, expected]);
    }
    expect(await codes(whole)).toEqual([]);
    expect(await codes(whole, otherKey)).toEqual([1, 2, 3, 4].map((number) => `key-wrong ${drillOf(number)}`));
    // The key was changed in between: both are trusted.
    expect(await codes(whole, `${otherKey}${publicKey}`)).toEqual([]);
    await expect(verifyEvidence(whole, 'hello')).rejects.toMatchObject({ code: 'usage' });
  });

  it('V4: the last drills that are missing, folder and number, are told by the records beside them, or by a hash that somebody knows', async () => {
    const { path, storage, sealed } = await drills(3);
    const cluster = join(path, '..');
    const catalogue = openCatalogue(storage, 'mairie');
    const outcomes = sealed.map((evidence, index) => ({
      ...drillOutcomeOf(
        { cluster: 'mairie', operationId: drillOf(index + 1), workflowId: 'w', ended: 'done' },
        [],
        null,
      ),
      evidence,
    }));
    for (const outcome of outcomes) await catalogue.append(fact({ kind: 'drill', outcome }));
    const newest = sealed[2]?.sha256.toUpperCase();
    expect(await verifyEvidence(path, publicKey, { newest })).toMatchObject({ ok: true, recorded: 3 });
    expect(await verifyEvidence(cluster, publicKey)).toMatchObject({ ok: true, recorded: 3 });
    expect(await lostEvidence(storage, 'mairie', outcomes)).toEqual([]);

    await rm(join(path, drillOf(3)), { recursive: true });
    // The number is taken: found, and told once.
    expect(await codes(path)).toEqual(['drill-missing chain/00000003.json']);
    expect(await lostEvidence(storage, 'mairie', outcomes)).toMatchObject([
      { code: 'drill-missing', drill: drillOf(3) },
    ]);
    await rm(join(path, 'chain', '00000003.json'));
    const { problems } = await verifyEvidence(cluster, publicKey);
    expect(problems).toMatchObject([{ code: 'drill-missing', where: 'records' }]);
    expect(problems[0]?.text).toBe(`the records name drill ${drillOf(3)}, number 3, and its evidence is missing`);
    expect(await lostEvidence(storage, 'mairie', outcomes)).toMatchObject([
      { code: 'drill-missing', drill: drillOf(3) },
    ]);
    // Another drill of its name, sealed since.
    await sealEvidence(storage, { ...unsealed(3), files: new Map([['report.md', 'another']]) });
    expect(await codes(path)).toEqual(['chain-broken records']);
    expect(await lostEvidence(storage, 'mairie', outcomes)).toMatchObject([
      { code: 'chain-broken', drill: drillOf(3) },
    ]);
    await rm(join(path, drillOf(3)), { recursive: true });
    await rm(join(path, 'chain'), { recursive: true });
    await rm(join(cluster, 'records'), { recursive: true });
    // Nothing here tells of it any more but the one who has heard its hash.
    expect(await verifyEvidence(path, publicKey)).toMatchObject({ ok: true, recorded: null });
    expect((await verifyEvidence(path, publicKey, { newest })).problems).toMatchObject([{ code: 'drill-missing' }]);
  });

  it('V4: a chain that its own key reordered does not hold, nor does evidence that nobody signed', async () => {
    const { path: right } = await drills(3);
    const reordered = join(await tempDir('copy'), 'evidence');
    await cp(right, reordered, { recursive: true });
    const manifestOf = async (number: number) => {
      const file = join(reordered, drillOf(number), 'manifest.json');
      return { file, content: JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown> };
    };
    const [second, third] = [await manifestOf(2), await manifestOf(3)];
    for (const [{ file, content }, sequence] of [[second, 3] as const, [third, 2] as const]) {
      const text = JSON.stringify({ ...content, sequence });
      await writeFile(file, text);
      await writeFile(`${file}.sig`, await signer.sign(text));
    }
    await rm(join(reordered, 'chain'), { recursive: true });
    expect(await codes(reordered)).toEqual([`chain-broken ${drillOf(3)}`, `chain-reordered ${drillOf(2)}`]);
    const { path, sealed } = await drills(1, null);
    expect(sealed[0]?.signed).toBe(false);
    expect(await codes(path)).toEqual([`not-signed ${drillOf(1)}`]);
  });

  it('V4: sha256sum and ssh-keygen alone verify it, and find a changed byte', async () => {
    const { path } = await drills(2);
    const folder = join(path, drillOf(2));
    const allowed = join(keys, 'allowed_signers');
    await writeFile(allowed, `reprise ${publicKey}`);
    const shell = (command: string) => run('bash', ['-c', `set -e; cd ${folder}; ${command}`]);
    const verify = `ssh-keygen -Y verify -f ${allowed} -I reprise -n reprise-evidence -s manifest.json.sig < manifest.json
      sha256sum --check --quiet SHA256SUMS
      grep -q "$(sha256sum < SHA256SUMS | cut -c1-64)" manifest.json`;
    expect((await shell(verify)).stdout).toContain('Good "reprise-evidence" signature');
    const before = await shell(`sha256sum < ../${drillOf(1)}/manifest.json | cut -c1-64`);
    expect((await shell('grep \'"previous"\' manifest.json')).stdout).toContain(before.stdout.trim());
    await appendFile(join(folder, 'report.md'), ' ');
    await expect(shell(verify)).rejects.toMatchObject({ code: 1 });
  });

  it.each([
    ['ed25519', ['-t', 'ed25519']],
    ['rsa', ['-t', 'rsa', '-b', '2048']],
    ['ecdsa 256', ['-t', 'ecdsa', '-b', '256']],
    ['ecdsa 384', ['-t', 'ecdsa', '-b', '384']],
    ['ecdsa 521', ['-t', 'ecdsa', '-b', '521']],
  ])('V4: a signature with a key of kind %s is verified as ssh-keygen does', async (name, how) => {
    const path = await makeKey(name.replace(' ', ''), ...how);
    const own = parsePublicKeys(`# ours\n\nreprise namespaces="a b" ${await readFile(`${path}.pub`, 'utf8')}`);
    const key = await openSshSigner(path, NAMESPACE);
    expect(own[0]?.fingerprint).toBe(key.fingerprint);
    const content = Buffer.from('what is signed\n');
    // The numbers of a signature are shorter at times.
    for (let count = 0; count < 8; count++) {
      const signature = await key.sign(content.toString());
      expect(checkSshSignature(signature, content, NAMESPACE, own)).toEqual({ by: own[0] });
      expect(checkSshSignature(signature, Buffer.from('what was signed\n'), NAMESPACE, own)).toMatchObject({
        wrong: 'other-content',
      });
      expect(checkSshSignature(signature, content, 'git', own)).toMatchObject({ wrong: 'other-purpose' });
      expect(checkSshSignature(signature.replace('U1NIU0lH', 'AAAAAAAA'), content, NAMESPACE, own)).toMatchObject({
        wrong: 'unreadable',
      });
    }
  });

  it('V4: a key that cannot sign is told before anything says that it did', async () => {
    const encrypted = join(keys, 'encrypted');
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'passphrase', '-f', encrypted]);
    const key = await openSshSigner(encrypted, NAMESPACE);
    const root = await tempDir('repository');
    const storage = openDirectory({ path: root });
    await expect(sealEvidence(storage, unsealed(1, key))).rejects.toMatchObject({ code: 'key-missing' });
    expect(await sealedEvidence(storage, 'mairie', drillOf(1))).toBeNull();
    await expect(openSshSigner(join(keys, 'none'), NAMESPACE)).rejects.toMatchObject({ code: 'key-missing' });
  });

  it('V4: sealing that is killed at any write goes on where it was, while other drills are sealed', async () => {
    for (let kills = 0; kills <= 7; kills++) {
      const root = await tempDir('repository');
      const storage = openDirectory({ path: root });
      await sealEvidence(storage, unsealed(1));
      const killed = killedAfter(storage, kills);
      await expect(sealEvidence(killed, unsealed(2)).then(() => killed.createIfAbsent('more', ''))).rejects.toThrow(
        'killed',
      );
      await sealEvidence(storage, unsealed(3));
      const sealed = await sealEvidence(storage, unsealed(2));
      expect(await sealEvidence(storage, unsealed(2))).toEqual(sealed);
      expect(await sealedEvidence(storage, 'mairie', drillOf(2))).toEqual(sealed);
      expect(await codes(join(root, 'mairie', 'evidence'))).toEqual([]);
      expect((await readdir(join(root, 'mairie', 'evidence', 'chain'))).length).toBe(3);
    }
  });

  it('V4: in a directory its files are for their owner alone, and nobody writes them again', async () => {
    const { path } = await drills(1, signer, false);
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    expect(files.length).toBe(7);
    for (const { name, parentPath } of files)
      expect([name, (await stat(join(parentPath, name))).mode & 0o777]).toEqual([name, 0o400]);
  });

  it('V4: drills that are sealed at once get a number each; other content under the name of a drill is refused', async () => {
    const root = await tempDir('repository');
    const storages = Array.from({ length: 4 }, () => openDirectory({ path: root }));
    await Promise.all(storages.map((storage, index) => sealEvidence(storage, unsealed(index + 1))));
    expect(await codes(join(root, 'mairie', 'evidence'))).toEqual([]);
    await mkdir(join(root, 'mairie', 'evidence', drillOf(5)));
    await writeFile(join(root, 'mairie', 'evidence', drillOf(5), 'report.md'), 'another');
    const [storage] = storages as [WritableStorage];
    await expect(sealEvidence(storage, unsealed(5))).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      sealEvidence(storage, { ...unsealed(6), about: { ...unsealed(6).about, drill: '../x' } }),
    ).rejects.toMatchObject({ code: 'path-refused' });
  });
});

/** Does so many writes, and then is gone. */
function killedAfter(storage: WritableStorage, writes: number): WritableStorage {
  let left = writes;
  return {
    ...storage,
    createIfAbsent: async (key, body, options) => {
      if (left-- <= 0) throw new Error('killed');
      return storage.createIfAbsent(key, body, options);
    },
  };
}
