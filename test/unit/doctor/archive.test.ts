import { describe, expect, it } from '@jest/globals';
import { archiveFindings } from '../../../src/doctor/archive.js';
import type { Server } from '../../../src/doctor/server.js';
import { parseConfig } from '../../../src/config/load.js';

const cluster = (objectives = '{}') => {
  const { config } = parseConfig(
    `version: 1
clusters:
  mairie:
    connection: { user: reprise }
    data_dir: /var/lib/postgresql/15/main
    objectives: ${objectives}
    backups: { physical: { engine: pgbackrest, options: { stanza: mairie, config: /etc/pgbackrest/pgbackrest.conf } } }
`,
    '/etc/reprise/reprise.yml',
  );
  const found = config.clusters['mairie'];
  if (found === undefined) throw new Error('no cluster');
  return found;
};

const archiving = {
  ...{
    mode: 'on' as const,
    command: 'pgbackrest archive-push %p',
    failedCount: 0,
    lastFailed: null,
    lastFailedAt: null,
  },
  ...{ lastArchived: '000000010000000000000007', lastArchivedAt: '2026-11-21T02:15:00Z' },
};
const server: Server = {
  versionNum: 150020,
  port: 5432,
  encrypted: false,
  clockSeconds: 0,
  archiving,
  backlog: { segments: 0, oldestSeconds: null, walBytes: 0 },
  archiveTimeoutSeconds: 60,
  slots: [],
  slotLimitBytes: null,
  invalidDatabases: [],
  prepared: [],
};
const waiting = { segments: 12, oldestSeconds: 900, walBytes: 201_326_592 };

describe('F7: WAL on its way to the archive', () => {
  it('is in order where nothing waits', () => {
    expect(archiveFindings(cluster('{ rpo: 5m }'), server)).toEqual([
      {
        check: 'cluster/mairie/archiving',
        level: 'ok',
        message: expect.stringContaining('000000010000000000000007 at 2026'),
        fix: null,
      },
    ]);
  });

  it('U3: a command whose temporary names can be guessed is one that an older version gave, and has to be replaced', () => {
    const command = 'n="$1/.reprise-tmp-$3.$$"; gzip -1nc "$2" >"$n"';
    expect(archiveFindings(cluster(), { ...server, archiving: { ...archiving, command } })).toContainEqual({
      check: 'cluster/mairie/archive_command',
      level: 'warning',
      message: expect.stringContaining('an older version of Reprise'),
      fix: expect.stringContaining('reprise backup run mairie'),
    });
  });

  it('that failed last is a problem, by time and not by the name of the segment', () => {
    const failing = {
      ...archiving,
      failedCount: 3,
      lastFailed: '000000010000000000000007',
      lastFailedAt: '2026-11-21T02:16:00Z',
    };
    expect(archiveFindings(cluster(), { ...server, archiving: failing, backlog: waiting })).toMatchObject([
      {
        level: 'problem',
        message: expect.stringMatching(/fails.*12 segments wait to be archived since 15 min 00 s, 201\.3 MB in pg_wal/),
      },
    ]);
    const mended = { ...failing, lastArchivedAt: '2026-11-21T02:17:00Z' };
    expect(archiveFindings(cluster(), { ...server, archiving: mended })).toMatchObject([
      { level: 'ok', message: expect.stringContaining('it failed 3 times before') },
    ]);
  });

  it('that waits for longer than the rpo is a problem; without an rpo, after ten minutes, a warning', () => {
    expect(archiveFindings(cluster('{ rpo: 5m }'), { ...server, backlog: waiting })).toMatchObject([
      { level: 'problem', message: expect.stringContaining('longer than the objective rpo of 5 min') },
    ]);
    expect(archiveFindings(cluster('{ rpo: 1h }'), { ...server, backlog: waiting })).toMatchObject([{ level: 'ok' }]);
    expect(archiveFindings(cluster(), { ...server, backlog: waiting })).toMatchObject([
      { level: 'warning', message: expect.stringContaining('accumulates') },
    ]);
  });

  it('an archive_timeout that is off or longer than the rpo is said, with the command', () => {
    for (const archiveTimeoutSeconds of [0, 301]) {
      const found = archiveFindings(cluster('{ rpo: 5m }'), { ...server, archiveTimeoutSeconds });
      expect(found[1]).toMatchObject({
        check: 'cluster/mairie/archive_timeout',
        level: 'warning',
        fix: "ALTER SYSTEM SET archive_timeout = '300s'; SELECT pg_reload_conf();",
      });
    }
    expect(archiveFindings(cluster(), { ...server, archiveTimeoutSeconds: 0 })).toHaveLength(1);
  });

  it('O15: a command that is missing is given, ready to paste', () => {
    const commands = new Map([['physical', "pgbackrest --stanza='a b' archive-push %p"]]);
    const missing = { ...server, archiving: { ...archiving, command: '' } };
    expect(archiveFindings(cluster(), missing, commands)).toMatchObject([
      {
        level: 'problem',
        fix: "ALTER SYSTEM SET archive_command = 'pgbackrest --stanza=''a b'' archive-push %p'; SELECT pg_reload_conf();",
      },
    ]);
    const off = { ...server, archiving: { ...archiving, mode: 'off' as const } };
    expect(archiveFindings(cluster(), off, commands)[0]?.fix).toMatch(
      /restart the server: ALTER SYSTEM SET archive_mode = 'on'; ALTER SYSTEM SET archive_command = /,
    );
  });

  it('a role that may not look is given the grant', () => {
    expect(archiveFindings(cluster(), { ...server, backlog: null })).toMatchObject([
      { level: 'warning', fix: 'GRANT pg_monitor TO "reprise";' },
    ]);
  });
});
