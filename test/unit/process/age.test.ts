import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { isAgeRecipient } from '../../../src/domain/text/age-keys.js';
import { recipientsOf } from '../../../src/process/age/age-keys.js';
import { decryptingArgv, encryptingArgv, NOT_DECRYPTED } from '../../../src/process/age/age.js';
import { makeAgeKey } from '../../helpers/age.js';
import type { AgeKey } from '../../helpers/age.js';
import { tempDir } from '../../helpers/temp.js';

const run = promisify(execFile);
let key: AgeKey;
let folder: string;
/** Some blocks of age's 64 KiB, and a part of one. */
const text = 'all of it, to the last line\n'.repeat(10_000);

beforeAll(async () => {
  key = await makeAgeKey();
  folder = await tempDir('sealed');
  await writeFile(join(folder, 'plain'), text);
});

interface Exit {
  readonly code: number;
  readonly stdout: string;
}
async function exitOf(argv: readonly string[]): Promise<Exit> {
  const [program = '', ...rest] = argv;
  return run(program, rest, { maxBuffer: 1e8 }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code?: number; stdout?: string }) => ({ code: error.code ?? -1, stdout: error.stdout ?? '' }),
  );
}
const sh = (script: string): readonly string[] => ['/bin/bash', '-c', script];
async function sealed(name: string): Promise<string> {
  const path = join(folder, name);
  expect(await exitOf(await encryptingArgv([key.recipient], ['cat', join(folder, 'plain')], path))).toEqual({
    code: 0,
    stdout: '',
  });
  return path;
}
const read = async (path: string, argv: readonly string[] = ['cat']): Promise<Exit> =>
  exitOf(await decryptingArgv({ file: key.file }, path, argv));

describe('F3: one exit code speaks for both sides of the pipe', () => {
  it('encrypts what a program prints, and gives it back whole', async () => {
    const path = await sealed('whole');
    expect((await readFile(path, 'latin1')).includes('to the last line')).toBe(false);
    expect(await read(path)).toEqual({ code: 0, stdout: text });
    expect(await exitOf(await decryptingArgv({ command: key.command }, path, ['cat']))).toEqual({
      code: 0,
      stdout: text,
    });
  });

  it('writing: the code of the program that failed, also after all was written', async () => {
    const out = join(folder, 'failed');
    expect(await exitOf(await encryptingArgv([key.recipient], sh('cat /etc/hostname; exit 7'), out))).toMatchObject({
      code: 7,
    });
    expect(await exitOf(await encryptingArgv([key.recipient], sh('kill -KILL $$'), out))).toMatchObject({ code: 137 });
    expect(
      (await exitOf(await encryptingArgv([key.recipient], ['echo', 'x'], join(folder, 'no', 'such', 'folder')))).code,
    ).toBe(1);
  });

  it('reading: what the reader says, where all of it was authentic', async () => {
    const path = await sealed('reader');
    expect(await read(path, sh('cat >/dev/null; exit 1'))).toMatchObject({ code: 1 });
    expect(await read(path, sh('kill -KILL $$'))).toMatchObject({ code: 137 });
    expect(await read(path, ['head', '--bytes=3'])).toEqual({ code: 0, stdout: 'all' });
  });

  it('F15: a file that is cut, longer or changed is never a success, however little of it the reader wanted', async () => {
    const path = await sealed('harmed');
    const whole = await readFile(path);
    const flipped = Buffer.from(whole);
    flipped.writeUInt8(flipped.readUInt8(flipped.length - 1) ^ 1, flipped.length - 1);
    for (const content of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.from('x')]), flipped, Buffer.alloc(0)]) {
      await writeFile(path, content);
      expect(await read(path, ['head', '--bytes=3'])).toMatchObject({ code: NOT_DECRYPTED });
      // Nor is it the "errors ignored" of a pg_restore that exits 1.
      expect(await read(path, sh('cat >/dev/null; exit 1'))).toMatchObject({ code: NOT_DECRYPTED });
    }
  });

  it('a reader that wants the beginning only is no failure, and a key that does not fit is', async () => {
    const path = await sealed('beginning');
    const other = await makeAgeKey();
    expect(await exitOf(await decryptingArgv({ file: key.file }, path, ['head', '--bytes=3'], 'beginning'))).toEqual({
      code: 0,
      stdout: 'all',
    });
    expect(await exitOf(await decryptingArgv({ file: other.file }, path, ['head', '--bytes=3'], 'beginning'))).toEqual({
      code: NOT_DECRYPTED,
      stdout: '',
    });
  });
});

describe('public keys', () => {
  it('are known by their check sum: each slip of a letter is found', () => {
    expect(isAgeRecipient(key.recipient)).toBe(true);
    const at = 20;
    for (const letter of 'qpzry9x8gf2tvdw0s3jn54khce6mua7l') {
      const changed = `${key.recipient.slice(0, at)}${letter}${key.recipient.slice(at + 1)}`;
      expect(isAgeRecipient(changed)).toBe(changed === key.recipient);
    }
    for (const text of [
      '',
      'age1',
      `${key.recipient}q`,
      key.recipient.slice(0, -1),
      key.recipient.toUpperCase(),
      key.secret,
      `${key.recipient}\n`,
    ]) {
      expect(isAgeRecipient(text)).toBe(false);
    }
  });

  it('of a file are read with comments and blank lines, each once; a file of nobody is refused', async () => {
    const [other, list] = [await makeAgeKey(), join(folder, 'list')];
    await writeFile(list, `# two\r\n${other.recipient}\r\n\r\n${key.recipient}\r\n`);
    expect(await recipientsOf({ recipients: [key.recipient], recipientsFile: list })).toEqual([
      key.recipient,
      other.recipient,
    ]);
    await writeFile(list, '# nobody\n');
    await expect(recipientsOf({ recipients: [], recipientsFile: list })).rejects.toMatchObject({
      code: 'config-invalid',
    });
    await expect(recipientsOf({ recipients: [], recipientsFile: `${list}.gone` })).rejects.toMatchObject({
      code: 'config-invalid',
    });
  });
});
