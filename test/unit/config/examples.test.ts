import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadConfig, parseConfig } from '../../../src/config/load.js';

const examples = join(import.meta.dirname, '../../../examples');

describe('examples', () => {
  it('B2: minimal.yml is enough: 14 days, ./backups/postgres beside the file, verified', async () => {
    const config = await loadConfig({ file: join(examples, 'minimal.yml') });
    expect(config.hosts).toEqual({
      local: {
        name: 'local',
        stateDir: '/var/lib/reprise',
        scratchDir: '/var/lib/reprise/scratch',
        ...{ heavySlots: 1, recoverySlots: 1, mediaSlots: 1 },
      },
    });
    expect(config.repositories).toEqual({
      local: { name: 'local', type: 'directory', host: 'local', options: { path: join(examples, 'backups/postgres') } },
    });
    expect(config.clusters['mairie']).toEqual({
      name: 'mairie',
      host: 'local',
      connection: {
        host: '127.0.0.1',
        port: 5432,
        user: 'reprise',
        passfile: '/etc/reprise/pgpass',
        maintenanceDatabase: 'postgres',
      },
      databases: ['mairie'],
      catalogue: 'local',
      objectives: {},
      policies: {
        'nightly-dump': {
          name: 'nightly-dump',
          cluster: 'mairie',
          engine: 'logical',
          repository: 'local',
          enabled: true,
          schedule: { cron: '30 1 * * *', catchUpSeconds: 21_600 },
          retention: { days: 14, minProven: 2, maxDeletions: 10 },
          proof: 'verify',
          options: expect.any(Object),
        },
      },
      recovery: { oldData: { mode: 'aside' }, targets: {}, steps: ['safety-backup', 'restore', 'run-checks'] },
      hooks: {},
      checks: {},
      approvals: {},
    });
  });

  it('mairie.yml: everything this version knows', async () => {
    const { clusters, contacts, warnings } = await loadConfig({ file: join(examples, 'mairie.yml') });
    const mairie = clusters['mairie'];
    expect(warnings).toEqual([]);
    expect(contacts['ops']).toEqual({ mail: ['ops@example.org'] });
    expect(mairie).toMatchObject({
      catalogue: 'offsite',
      dataDir: '/var/lib/postgresql/15/main',
      service: { kind: 'pg_ctlcluster', version: '15', name: 'main' },
      objectives: { rtoSeconds: 14_400, rpoSeconds: 300 },
      watch: { everySeconds: 10, failures: 3 },
      recovery: {
        targets: { beside: { name: 'beside', host: 'db1', dataDir: '/var/lib/postgresql/15/recovered', port: 5434 } },
        steps: ['stop-applications', 'safety-backup', 'restore', 'run-checks', 'start-applications'],
      },
      hooks: {
        'stop-applications': {
          argv: ['sudo', 'systemctl', 'stop', 'rdv.service'],
          timeoutSeconds: 60,
          undo: 'start-applications',
        },
      },
      checks: {
        appointments: { type: 'sql', options: { database: 'mairie', compare: 'recorded', timeoutSeconds: 30 } },
        site: { type: 'http', options: { url: 'http://127.0.0.1:8080/health', status: 200, timeoutSeconds: 10 } },
      },
      approvals: {
        recover: {
          approvers: 2,
          from: ['dba', 'ops'],
          requesterMayApprove: false,
          approveWithinSeconds: 14_400,
          executeWithinSeconds: 3600,
          signatures: 'none',
        },
      },
    });
    expect(mairie?.policies['physical']).toMatchObject({
      retention: { days: 30, minProven: 2, maxDeletions: 10 },
      proof: 'restore',
      options: {
        stanza: 'mairie',
        config: '/etc/pgbackrest/pgbackrest.conf',
        type: 'auto',
        fullEverySeconds: 604_800,
        diffEverySeconds: 86_400,
        archiveTimeoutSeconds: 60,
      },
    });
    // B2: a rule of one's own is taken at its word, without the 14 days.
    expect(mairie?.policies['first-sunday']).toMatchObject({
      schedule: { cron: '0 4 1-7 1,4,7,10 0' },
      retention: { yearly: 10, minProven: 2 },
    });
    expect(mairie?.policies['first-sunday']?.retention).not.toHaveProperty('days');
  });

  it('P2: walg.yml: WAL-G daily at 02:45, 30 days, with the environment file named', async () => {
    const { clusters } = await loadConfig({ file: join(examples, 'walg.yml') });
    expect(clusters['asso']?.policies['wal-g']).toMatchObject({
      engine: 'walg',
      schedule: { cron: '45 2 * * *' },
      retention: { days: 30, minProven: 2 },
      options: { envFile: '/etc/wal-g/asso.env', binary: 'wal-g', archiveTimeoutSeconds: 60 },
    });
  });

  it('the digest is that of the meaning: comments, order and the place of the file do not count', async () => {
    const text = await readFile(join(examples, 'mairie.yml'), 'utf8');
    const absolute = text.replace('./backups/postgres', '/srv/backups');
    const here = parseConfig(absolute, '/etc/reprise/reprise.yml').config;
    const elsewhere = parseConfig(
      `# moved\n${absolute.replace('language: en', '')}\nlanguage: en\n`,
      '/home/dba/reprise.yml',
    ).config;
    expect(elsewhere.digest).toBe(here.digest);
    expect(here.digest).toMatch(/^[0-9a-f]{64}$/);
    const other = parseConfig(absolute.replace('days: 30', 'days: 31'), '/etc/reprise/reprise.yml').config;
    expect(other.digest).not.toBe(here.digest);
  });
});
