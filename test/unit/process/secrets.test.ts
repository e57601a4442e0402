import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { tempDir } from '../../helpers/temp.js';

const sources = {
  env: { SMTP_PASSWORD: 'hunter2', EMPTY: '' },
  run: async (argv: readonly string[]) => ({ stdout: argv.slice(1).join(' ') + '\n' }),
};

describe('secrets are references', () => {
  it('to the environment, to a file, to a program', async () => {
    const file = join(await tempDir('secret'), 'secret');
    await writeFile(file, ' hunter 2 \r\n', { mode: 0o600 });
    expect(await resolveSecret({ env: 'SMTP_PASSWORD' }, sources)).toBe('hunter2');
    expect(await resolveSecret({ file }, sources)).toBe(' hunter 2 ');
    expect(await resolveSecret({ command: ['vault', 'hunter2'] }, sources)).toBe('hunter2');
  });

  it('F42: a file that others can read is refused', async () => {
    const file = join(await tempDir('secret'), 'secret');
    await writeFile(file, 'hunter2');
    for (const mode of [0o644, 0o640, 0o602]) {
      await chmod(file, mode);
      await expect(resolveSecret({ file }, sources)).rejects.toMatchObject({
        code: 'config-invalid',
        message: `other users can read the secret in ${file}`,
        hint: expect.stringContaining(`chmod 600 ${file}`),
      });
    }
  });

  it('what gives nothing is named', async () => {
    const told = (reference: Parameters<typeof resolveSecret>[0]) => expect(resolveSecret(reference, sources)).rejects;
    await told({ env: 'EMPTY' }).toThrow('the environment variable EMPTY contains no secret');
    await told({ env: 'MISSING' }).toThrow('the environment variable MISSING contains no secret');
    await told({ command: ['vault'] }).toThrow('the output of vault contains no secret');
    await told({ file: '/nowhere/secret' }).toThrow('the secret in /nowhere/secret cannot be read: ENOENT');
  });
});
