import { describe, expect, it } from '@jest/globals';
import { importConfig } from '../../../src/config/import/import.js';
import type { Imported } from '../../../src/config/import/import.js';
import { parseConfig } from '../../../src/config/load.js';

const GLOBAL = `application: { name: ville }
backup:
  postgres:
    enabled: true
    dir: "./backups/postgres"
    retention_days: 14
  media: { enabled: false }
`;
const POSTGRES =
  'connection:\n  host: 10.0.0.5\n  port: 5433\n  user: sauvegarde\n  database: mairie\n  password: canary-9f3b:x\n  sslmode: require\n';
const PGBACKREST = `[global]
repo1-type=s3
repo1-s3-key=canary-key
repo1-retention-full-type=time
repo1-retention-full=30
repo1-retention-archive-type=time
repo1-retention-archive=30
[asso]
pg1-path=/var/lib/postgresql/data
`;

const run = (global = GLOBAL, postgres = POSTGRES, pgbackrest?: string): Imported =>
  importConfig({
    ...{
      global: { text: global, label: 'config_global.yml' },
      postgres: { text: postgres, label: 'config_postgres.yml' },
      target: '/srv/app/reprise.yml',
    },
    ...(pgbackrest === undefined
      ? {}
      : { pgbackrest: { text: pgbackrest, label: 'pgbackrest.conf', path: '/etc/pgbackrest/pgbackrest.conf' } }),
  });
const loaded = ({ yaml }: Imported) => parseConfig(yaml, '/srv/app/reprise.yml').config;

describe('B6: config import', () => {
  it("translates the seed's two files into a configuration that is valid", () => {
    const imported = run();
    const { clusters, repositories } = loaded(imported);
    expect(repositories['local']?.options).toEqual({ path: '/srv/app/backups/postgres' });
    expect(clusters['mairie']).toMatchObject({
      connection: { host: '10.0.0.5', port: 5433, user: 'sauvegarde', passfile: '/etc/reprise/pgpass' },
      databases: ['mairie'],
      policies: {
        'nightly-dump': {
          engine: 'logical',
          enabled: true,
          retention: { days: 14 },
          proof: 'verify',
          schedule: { cron: '30 1 * * *' },
        },
      },
    });
    expect(imported.read.map(({ from }) => from)).toEqual([
      ...['enabled', 'dir', 'retention_days'].map((key) => `config_global.yml: backup.postgres.${key}`),
      ...['host', 'port', 'user', 'database', 'password'].map((key) => `config_postgres.yml: connection.${key}`),
    ]);
    expect(imported.notRead.map(({ from }) => from).toSorted()).toEqual([
      'config_global.yml: application',
      'config_global.yml: backup.media',
      'config_postgres.yml: connection.sslmode',
    ]);
  });

  it('F39: the password is nowhere in what comes out; how to keep it is said', () => {
    const imported = run(GLOBAL, POSTGRES, PGBACKREST);
    expect(JSON.stringify(imported)).not.toContain('canary');
    expect(imported.next[0]).toContain('10.0.0.5:5433:*:sauvegarde:PASSWORD');
    expect(imported.next[0]).toContain('-m 600');
    expect(run(GLOBAL, 'connection: { user: u, dbname: d }').next.join()).not.toContain('pgpass');
  });

  it.each([
    ['username', 'dbname'],
    ['login', 'name'],
    ['role', 'db'],
  ])('takes the spellings %s and %s', (user, database) => {
    expect(
      loaded(run(GLOBAL, `connection: { ${user}: u, ${database}: mairie, hostname: db, port: "5432" }`)).clusters[
        'mairie'
      ],
    ).toMatchObject({ connection: { host: 'db', port: 5432, user: 'u' }, databases: ['mairie'] });
  });

  it('two spellings of one thing: the first counts, the other is said; a placeholder is not taken for a value', () => {
    const imported = run(GLOBAL, 'connection: { user: a, username: b, database: mairie, host: "${PGHOST}" }');
    expect(loaded(imported).clusters['mairie']?.connection).toMatchObject({ user: 'a', host: '127.0.0.1' });
    expect(imported.notRead.map(({ from }) => from)).toEqual(
      expect.arrayContaining(['config_postgres.yml: connection.username', 'config_postgres.yml: connection.host']),
    );
  });

  it('F35: a database whose name is no name for a cluster is dumped all the same', () => {
    const { clusters } = loaded(run(GLOBAL, `connection: { user: u, database: "a/../b: 'x'" }`));
    expect(clusters['main']?.databases).toEqual(["a/../b: 'x'"]);
  });

  it('disabled stays disabled, and is said; words of YAML 1.1 are understood', () => {
    const imported = run('backup: { postgres: { enabled: off } }');
    expect(loaded(imported).clusters['mairie']?.policies['nightly-dump']).toMatchObject({
      enabled: false,
      retention: { days: 14 },
    });
    expect(imported.warnings.join()).toContain('disabled');
  });

  it.each([
    [
      'retention_days: 0',
      'backup: { postgres: { retention_days: 0 } }',
      POSTGRES,
      /config_global\.yml:1:\d+: retention_days/,
    ],
    [
      'retention_days: "two weeks"',
      'backup:\n  postgres:\n    retention_days: two weeks\n',
      POSTGRES,
      /config_global\.yml:3:21: retention_days/,
    ],
    ['no user', GLOBAL, 'connection:\n  database: mairie\n', /config_postgres\.yml:1:1: the connection names no user/],
    ['files exchanged', POSTGRES, GLOBAL, /config_global\.yml:1:1: there is no section backup\.postgres/],
    ['no YAML', 'backup: [', POSTGRES, /config_global\.yml:1:\d+: not valid YAML/],
    [
      'a port that is none',
      GLOBAL,
      'connection: { user: u, database: d, port: 99999 }',
      /config_postgres\.yml:1:\d+: port/,
    ],
  ])('F38: %s is refused with file, line and column', (_what, global, postgres, message) => {
    expect(() => run(global, postgres)).toThrow(message);
  });

  it('an existing pgbackrest.conf becomes a policy; what 2.45 refuses in it is said', () => {
    const imported = run(GLOBAL, POSTGRES, PGBACKREST);
    expect(loaded(imported).clusters['mairie']).toMatchObject({
      dataDir: '/var/lib/postgresql/data',
      policies: {
        physical: {
          engine: 'pgbackrest',
          options: { stanza: 'asso', config: '/etc/pgbackrest/pgbackrest.conf' },
          retention: { days: 30 },
        },
      },
    });
    expect(imported.warnings).toEqual([
      expect.stringContaining('repo1-retention-archive-type=time'),
      expect.stringContaining('remove repo1-retention-full-type, repo1-retention-full, repo1-retention-archive:'),
    ]);
    expect(
      Object.keys(loaded(run(GLOBAL, POSTGRES, '[global]\n[a]\n[b]\n')).clusters['mairie']?.policies ?? {}),
    ).toEqual(['nightly-dump']);
  });
});
