import { describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { rightsFindings, roleStatements } from '../../../src/doctor/rights.js';

const PHYSICAL = 'engine: pgbackrest, options: { stanza: mairie, config: /etc/pgbackrest/pgbackrest.conf }';

function cluster(backup: string, more = '') {
  const { config } = parseConfig(
    `version: 1
clusters:
  mairie:
    connection: { user: reprise }
    data_dir: /var/lib/postgresql/15/main
    databases: [mairie]
    ${more}
    backups: { nightly: { ${backup} } }
`,
    '/etc/reprise/reprise.yml',
  );
  const found = config.clusters['mairie'];
  if (found === undefined) throw new Error('no cluster');
  return found;
}

describe('a role that is no superuser', () => {
  const grants = ['GRANT pg_checkpoint TO reprise'];

  it('is told what to grant before a recovery of the server needs it', () => {
    expect(rightsFindings(cluster(PHYSICAL), { missingRights: grants, isSuperuser: false })).toMatchObject([
      {
        check: 'cluster/mairie/rights',
        level: 'warning',
        fix: 'as a superuser, in the database postgres: GRANT pg_checkpoint TO reprise',
      },
    ]);
    expect(rightsFindings(cluster(PHYSICAL), { missingRights: [], isSuperuser: false })).toMatchObject([
      { level: 'ok' },
    ]);
    expect(rightsFindings(cluster(PHYSICAL), {})).toEqual([]);
  });

  it('is told that it cannot restore the dumps that it makes', () => {
    const dump = 'engine: logical';
    expect(rightsFindings(cluster(dump), { missingRights: grants, isSuperuser: false })).toMatchObject([
      { level: 'warning', message: expect.stringContaining('dumps of nightly is refused') },
    ]);
    expect(rightsFindings(cluster(dump), { missingRights: [], isSuperuser: true })).toEqual([]);
    expect(rightsFindings(cluster(dump, 'restore_as: superuser'), { isSuperuser: false })).toEqual([]);
  });
});

it('O8: for a role that may not be there the statements that make it, with what its policies and their recoveries need', () => {
  const of = (...engines: readonly string[]) => ({
    ...{ name: 'mairie', connection: { user: 'reprise', maintenanceDatabase: 'postgres' } },
    policies: Object.fromEntries(engines.map((engine) => [engine, { name: engine, engine, enabled: true }])),
  });
  expect(roleStatements(of('logical') as never, 150_000)).toBe(
    'CREATE ROLE "reprise" LOGIN; GRANT pg_read_all_data, pg_monitor, pg_checkpoint TO "reprise";',
  );
  expect(roleStatements(of('logical', 'basebackup') as never, 140_000)).toBe(
    'CREATE ROLE "reprise" LOGIN REPLICATION; GRANT pg_read_all_data, pg_monitor TO "reprise"; GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_create_restore_point(text), pg_switch_wal() TO "reprise";',
  );
});
