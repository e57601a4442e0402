import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig, readConfig } from '../../../src/config/load.js';
import { tempDir } from '../../helpers/temp.js';
import { valid } from './given.js';

let folder: string;
beforeEach(async () => {
  folder = await tempDir('config');
  await mkdir(join(folder, 'work'));
  for (const name of ['flag.yml', 'env.yml', 'work/reprise.yml']) await writeFile(join(folder, name), valid);
});

describe('which file is read', () => {
  const cwd = () => join(folder, 'work');

  it('--config, else $REPRISE_CONFIG, else ./reprise.yml', async () => {
    const env = { REPRISE_CONFIG: join(folder, 'env.yml') };
    const flag = await readConfig({ file: '../flag.yml', env, cwd: cwd() });
    expect([flag.config.file, flag.chosenBy]).toEqual([join(folder, 'flag.yml'), 'flag']);
    const environment = await readConfig({ env, cwd: cwd() });
    expect([environment.config.file, environment.chosenBy]).toEqual([join(folder, 'env.yml'), 'environment']);
    const found = await readConfig({ env: { REPRISE_CONFIG: '' }, cwd: cwd() });
    expect([found.config.file, found.label, found.chosenBy]).toEqual([
      join(cwd(), 'reprise.yml'),
      'reprise.yml',
      'default',
    ]);
  });

  it('a file that was named and is not there is not replaced by another', async () => {
    await expect(loadConfig({ file: 'nowhere.yml', env: {}, cwd: cwd() })).rejects.toMatchObject({
      code: 'config-not-found',
      message: 'the configuration nowhere.yml does not exist',
      hint: expect.stringContaining('--config FILE'),
    });
    await expect(loadConfig({ env: { REPRISE_CONFIG: '/nowhere/x.yml' }, cwd: cwd() })).rejects.toMatchObject({
      code: 'config-not-found',
    });
  });

  it('what is no readable text is said', async () => {
    await expect(loadConfig({ file: '.', env: {}, cwd: cwd() })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('EISDIR'),
    });
    await writeFile(join(cwd(), 'latin.yml'), Buffer.from('version: 1 # pr\xe9fecture\n', 'latin1'));
    await expect(loadConfig({ file: 'latin.yml', env: {}, cwd: cwd() })).rejects.toMatchObject({
      code: 'config-invalid',
      message: 'latin.yml:1:1: the file is not UTF-8 text',
    });
  });

  it('relative paths count from the file, not from where one stands', async () => {
    const { repositories } = await loadConfig({ file: join(folder, 'flag.yml'), env: {}, cwd: cwd() });
    expect(repositories['local']?.options).toEqual({ path: join(folder, 'backups/postgres') });
  });

  it('a host may say after how long without a heartbeat its worker counts as lost', async () => {
    const host = 'hosts: { db1: { state_dir: /s } }\n';
    const said = 'hosts: { db1: { state_dir: /s, timeouts: { heartbeat: 2m } } }\n';
    const seconds = async (hosts: string) => {
      await writeFile(join(folder, 'flag.yml'), valid + hosts);
      return (await loadConfig({ file: join(folder, 'flag.yml'), env: {}, cwd: cwd() })).hosts['db1']?.heartbeatSeconds;
    };
    expect([await seconds(host), await seconds(said)]).toEqual([undefined, 120]);
  });

  it('lines end as they like: CRLF, a byte order mark', async () => {
    await writeFile(join(cwd(), 'dos.yml'), `\ufeff${valid.replaceAll('\n', '\r\n')}`);
    expect((await loadConfig({ file: 'dos.yml', env: {}, cwd: cwd() })).clusters['mairie']?.databases).toEqual([
      'mairie',
    ]);
  });
});
