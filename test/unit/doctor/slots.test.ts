import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { archiveFindings } from '../../../src/doctor/archive.js';
import { databaseFindings, type Server } from '../../../src/doctor/server.js';
import { slotFindings } from '../../../src/doctor/slots.js';

const yaml = (policies: string): string => `version: 1
clusters:
  mairie:
    connection: { user: reprise }
    data_dir: /var/lib/postgresql/15/main
    backups: { ${policies} }
`;
const base = 'base: { engine: basebackup, options: { wal: receivewal } }';
const cluster = (policies = base) => {
  const found = parseConfig(yaml(policies), '/etc/reprise/reprise.yml').config.clusters['mairie'];
  if (found === undefined) throw new Error('no cluster');
  return found;
};
const slot = { name: 'reprise_mairie_base', active: true, keptBytes: 1_000_000, lost: false };
const server: Server = {
  ...{
    versionNum: 150020,
    port: 5432,
    encrypted: false,
    clockSeconds: 0,
    backlog: null,
    archiveTimeoutSeconds: 0,
    slots: [slot],
    slotLimitBytes: 10_000_000_000,
    invalidDatabases: [],
    prepared: [],
  },
  archiving: {
    mode: 'off',
    command: '(disabled)',
    failedCount: 0,
    lastFailed: null,
    lastFailedAt: null,
    lastArchived: null,
    lastArchivedAt: null,
  },
};
const found = (change: Partial<typeof slot> | null) =>
  slotFindings(cluster(), { ...server, slots: change === null ? [] : [{ ...slot, ...change }] });

describe('what hinders some of its databases', () => {
  const prepared = { gid: "it's", database: 'mairie', owner: 'rdv', ageSeconds: 7200 };

  it('W9, F51: an invalid database and a prepared transaction that nobody decides are warnings, with the statements that end them', () => {
    expect(databaseFindings(cluster(), server)).toEqual([]);
    expect(
      databaseFindings(cluster(), { ...server, invalidDatabases: ['cut "off'], prepared: [prepared] }),
    ).toMatchObject([
      {
        ...{ check: 'cluster/mairie/databases', level: 'warning', fix: 'drop it: DROP DATABASE "cut ""off"' },
        message: expect.stringContaining('is invalid') as unknown,
      },
      {
        ...{ check: 'cluster/mairie/prepared', level: 'warning' },
        fix: expect.stringContaining("ROLLBACK PREPARED 'it''s'") as unknown,
      },
    ]);
    expect(databaseFindings(cluster(), { ...server, prepared: [{ ...prepared, ageSeconds: 5 }] })).toEqual([]);
  });
});

describe('K8: received WAL', () => {
  it('is in order while its slot is used, and asks for no archive_command', () => {
    expect(found({})).toMatchObject([{ check: 'cluster/mairie/archiving', level: 'ok' }]);
    expect(archiveFindings(cluster(), server)).toEqual([]);
  });

  it('that nobody fetches, or that is lost, is a problem, with what to start', () => {
    for (const change of [null, { active: false }] as const) {
      expect(found(change)).toMatchObject([
        { level: 'problem', fix: expect.stringContaining('archive/mairie/base') as unknown },
      ]);
    }
    expect(found({ lost: true })).toMatchObject([
      { level: 'problem', message: expect.stringContaining('has a gap') as unknown },
    ]);
  });

  it('that lags, or that could fill the disk, is a warning', () => {
    expect(found({ keptBytes: 1_000_000_000 })).toMatchObject([
      { level: 'warning', message: expect.stringContaining('too slowly') as unknown },
    ]);
    expect(slotFindings(cluster(), { ...server, slotLimitBytes: null })).toMatchObject([
      { level: 'ok' },
      { level: 'warning', fix: expect.stringContaining('max_slot_wal_keep_size') as unknown },
    ]);
  });

  it('a slot of ours that no policy has any more is told with how to drop it; those of others are not', () => {
    const slots = [
      { ...slot, name: 'reprise_mairie_old', active: false },
      { ...slot, name: 'standby1', active: false },
    ];
    const none = cluster('physical: { engine: pgbackrest, options: { stanza: m, config: /etc/p.conf } }');
    expect(slotFindings(none, { ...server, slots })).toMatchObject([
      { level: 'warning', fix: "SELECT pg_drop_replication_slot('reprise_mairie_old');" },
    ]);
  });

  it('may stand beside one archive_command, and two archive_commands are an error in the config', () => {
    const pgbackrest = 'physical: { engine: pgbackrest, options: { stanza: m, config: /etc/p.conf } }';
    expect(cluster(`${base}, ${pgbackrest}`).policies).toHaveProperty('physical');
    expect(() => cluster(`base: { engine: basebackup, options: { wal: archive_command } }, ${pgbackrest}`)).toThrow(
      /both need the archive_command/,
    );
  });

  it('examples/basebackup.yml is as it should be', async () => {
    const file = join(import.meta.dirname, '../../../examples/basebackup.yml');
    const { mairie } = parseConfig(await readFile(file, 'utf8'), file).config.clusters;
    expect(mairie?.policies['base']?.options).toMatchObject({ wal: 'receivewal', fullEverySeconds: 604_800 });
  });
});
