import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { repriseHere } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';

const config = `version: 1
hosts: { db1: { state_dir: ./state } }
repositories:
  local: { type: directory, path: ./repo, host: db1 }
  media: { type: directory, path: ./media, host: db1 }
contacts: { dba: {} }
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: 1, user: reprise }
    databases: [mairie]
    catalogue: local
    approvals: { recover: { approvers: 1, from: [dba] } }
    backups:
      nightly-dump: { engine: logical, repository: local, retention: { days: 14 } }
media:
  photos: { repository: media, prefix: p, cluster: mairie }
  copy: { repository: media, prefix: c, cluster: mairie }
`;

describe('what asks before it acts, where no terminal is there to ask on', () => {
  let withPolicy = '';
  let without = '';

  beforeAll(async () => {
    const directory = await tempDir('cli');
    without = join(directory, 'reprise.yml');
    withPolicy = join(directory, 'approved.yml');
    await writeFile(without, config);
    await writeFile(
      withPolicy,
      config.replace('approvals: { ', 'approvals: { media-sync: { approvers: 1, from: [dba] }, '),
    );
  });

  /** Nothing listens there: a command that asked nothing ends in `temporal-unreachable`. */
  async function told(file: string, ...argv: readonly string[]): Promise<string> {
    const { code, stderr } = await repriseHere([...argv, '--address', '127.0.0.1:1', '--json'], {
      REPRISE_CONFIG: file,
    });
    return `${code} ${(JSON.parse(stderr) as { error: { code: string } }).error.code}`;
  }

  const removing = ['media', 'sync', 'photos', '--into', 'copy', '--delete'];

  it('is refused with exit 9 without --yes, before anything is asked of Temporal', async () => {
    for (const argv of [['kept', 'drop', 'some-id'], removing]) {
      expect(await told(without, ...argv)).toBe('9 confirmation-needed');
    }
    const answered = await Promise.all(
      [['kept', 'drop', 'some-id'], removing].map((argv) => told(without, ...argv, '--yes')),
    );
    expect(answered).toEqual(answered.map(() => '5 temporal-unreachable'));
  });

  it('what only makes a plan starts without a confirmation: nothing happens before the approval', async () => {
    const starts: (readonly [string, readonly string[]])[] = [
      [without, ['recover', 'mairie']],
      [without, ['recover', 'mairie', '--yes']],
      [without, ['media', 'recover', 'photos', '--to', '2026-11-21T02:15:00Z']],
      [without, removing.slice(0, -1)],
      [withPolicy, removing],
      [without, ['incident', 'start', 'instance-loss', '--cluster', 'mairie']],
      [without, ['backup', 'adopt', 'mairie']],
    ];
    const results = await Promise.all(
      starts.map(async ([file, argv]) => `${argv.join(' ')}: ${await told(file, ...argv)}`),
    );
    expect(results).toEqual(starts.map(([, argv]) => `${argv.join(' ')}: 5 temporal-unreachable`));
  });
});
