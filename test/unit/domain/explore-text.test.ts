import { execFileSync } from 'node:child_process';
import { expect, it } from '@jest/globals';
import { connectionText, type OpenedInstance, psqlCommand } from '../../../src/domain/explore/instance.js';

const instance = (database: string): OpenedInstance => ({
  ...{ cluster: 'mairie', host: 'db1', dataDir: '/scratch/data', socketDir: '/scratch/.s', port: 5432 },
  ...{ user: 'postgres', databases: [database], expiresAt: null },
  restore: {
    ...{ policy: 'physical', engine: 'pgbackrest', method: 'data-directory', backups: [] },
    ...{ target: { kind: 'latest' }, chosen: 'latest', predicted: null },
  },
  reached: { reached: 'latest', lastLsn: null, lastCommitAt: null, complete: false },
  login: { user: 'postgres', passfile: null, options: '-c role=pg_read_all_data', osUser: 'postgres', note: null },
});

it('F35, M1: the command that connects means the database of the name, also where a shell would expand the name', () => {
  for (const name of ['mairie', 'host=evil dbname=x', '$(echo pwned)', '`echo pwned`', `it's "a" \\ name`, '$HOME!']) {
    const command = psqlCommand(connectionText(instance(name)));
    const [given = '', ...others] = execFileSync('bash', ['-c', `${command.replace('psql', "printf '%s\\0'")}`])
      .toString()
      .split('\0');
    expect(others).toEqual(['']);
    expect(given).toBe(connectionText(instance(name)));
  }
  expect(psqlCommand(connectionText(instance('mairie')))).toBe(
    `psql "host=/scratch/.s port=5432 dbname=mairie user=postgres options='-c role=pg_read_all_data'"`,
  );
});
