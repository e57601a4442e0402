import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../../src/config/load.js';
import { complaint, parsed } from './given.js';

/** Line 10 is the drill, line 11 its directory. */
const drill = (lines: Record<string, string> = {}, rest = '') => {
  const keys = { host: 'staging', data_dir: '/srv/staging', port: '5499', ...lines };
  return `version: 1
hosts: { db1: { state_dir: /var/lib/reprise }, staging: { state_dir: /var/lib/reprise } }
repositories: { offsite: { type: s3, bucket: backups }, local: { type: directory, path: /backups, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { user: reprise, port: 5432 }
    data_dir: /data/main
    databases: [mairie]
    drill:
${Object.entries(keys)
  .map(([key, value]) => `      ${key}: ${value}\n`)
  .join(
    '',
  )}    recovery: { old_data: { mode: aside-on, path: /old }, targets: { beside: { data_dir: /data/beside, port: 5434 }, away: { host: staging, data_dir: /srv/away, port: 5440 } } }
    backups:
      dump: { engine: logical, repository: offsite }
      base: { engine: basebackup, repository: offsite, enabled: false }
      near: { engine: logical, repository: local }
contacts: { qa: {} }
${rest}`;
};
const sameHost = { host: 'db1', allow_same_host: 'true' };

describe('P4: what a drill is configured to do', () => {
  it('with host, directory and port alone: every enabled policy to the latest instant, on the first Sunday of each quarter', () => {
    expect(parsed(drill()).clusters['mairie']?.drill).toEqual({
      host: 'staging',
      allowSameHost: false,
      dataDir: '/srv/staging',
      port: 5499,
      engines: [],
      at: 'latest',
      schedule: { cron: '0 2 1-7 1,4,7,10 0', catchUpSeconds: 21_600 },
    });
  });

  it('examples/drill.yml: all of it, read as written, without a warning', async () => {
    const { clusters, evidence, warnings } = await loadConfig({
      file: join(import.meta.dirname, '../../../examples/drill.yml'),
    });
    expect(warnings).toEqual([]);
    expect(clusters['mairie']).toMatchObject({
      canary: { database: 'mairie', everySeconds: 300 },
      drill: {
        engines: ['pgbackrest', 'logical'],
        at: 'random',
        signOff: { by: ['qa'], withinSeconds: 432_000 },
        mask: { argv: ['/usr/local/bin/mask-staging'], timeoutSeconds: 600 },
      },
    });
    expect(evidence).toEqual({ signingKey: '/etc/reprise/evidence_key' });
  });

  it('the host may be left out where there is one; it is that of the cluster then, which has to be allowed', () => {
    const one = `version: 1
clusters:
  mairie:
    connection: { user: reprise }
    databases: [mairie]
    backups: { dump: { engine: logical } }
    drill: { data_dir: /srv/staging, port: 5499 }
`;
    expect(complaint(one)[0]).toBe('reprise.yml:7:5: drills of mairie would run on local, the host of the cluster');
    expect(parsed(one.replace('port: 5499', 'port: 5499, allow_same_host: true')).clusters['mairie']?.drill?.host).toBe(
      'local',
    );
  });

  it('policies whose repository the staging host cannot open are left out, and a warning says so', () => {
    expect(parsed(drill()).warnings).toEqual([
      {
        key: 'clusters.mairie.drill.host',
        place: 'reprise.yml:11:13',
        message:
          'drills leave out near, unless its repository local is mounted on staging at the same path: it is a directory of host db1',
        hint: 'name a repository that staging can reach too, e.g. of type s3',
      },
    ]);
  });
});

describe('P4: a drill cannot be pointed at production by the configuration', () => {
  it.each<[string, string, string]>([
    ['the data directory', '/data/main', 'the data directory of mairie'],
    ['within the data directory', '/data/main/pg_wal/x', 'the data directory of mairie'],
    ['above the data directory', '/data', 'the data directory of mairie'],
    ['a way around', '/data/x/../main', 'the data directory of mairie'],
    ['the root', '/', 'the data directory of mairie'],
    ['a recovery target', '/data/beside/x', 'target beside'],
    ['old data', '/old/mairie', 'old data of mairie'],
    ['a repository', '/backups', 'repository local'],
    ['the scratch directory', '/var/lib/reprise/scratch', 'state_dir of host db1'],
    ['the state directory', '/var/lib/reprise', 'state_dir of host db1'],
  ])('its directory is not %s', (_, place, owner) => {
    const [message, hint] = complaint(drill({ ...sameHost, data_dir: place }));
    expect(message).toMatch(/^reprise\.yml:12:17: /);
    expect(message).toContain(
      `: ${owner} and the staging directory of mairie use the same directory, or one inside the other: `,
    );
    expect(hint).toBe('HINT a drill empties its directory: name one that nothing else uses');
  });

  it('on another host the same path is another directory, unless a target of a recovery is there', () => {
    expect(() => parsed(drill({ data_dir: '/data/main' }))).not.toThrow();
    expect(complaint(drill({ data_dir: '/srv/away' }))[0]).toBe(
      'reprise.yml:12:17: target away and the staging directory of mairie use the same directory, or one inside the other: /srv/away',
    );
  });

  it.each<[string, Record<string, string>, string]>([
    ["the cluster's own", { ...sameHost, port: '5432' }, 'cluster mairie'],
    ["a target's", { ...sameHost, port: '5434' }, 'target beside of mairie'],
    ["a target's on another host", { port: '5440' }, 'target away of mairie'],
  ])('its port is not %s', (_, lines, owner) => {
    const text = drill(lines);
    const port = lines['port'] ?? '';
    expect(complaint(text)[0]).toContain(
      `${owner} and the drill of mairie use the same port of one host: port ${port}`,
    );
  });

  it('two drills share neither directory nor port', () => {
    const other = `  other:
    host: db1
    connection: { user: reprise, port: 5450 }
    databases: [other]
    catalogue: offsite
    backups: { dump: { engine: logical, repository: offsite } }
    drill: { host: staging, data_dir: /srv/staging/other, port: 5499 }
contacts:`;
    expect(complaint(drill().replace('contacts:', other))).toEqual([
      expect.stringContaining('and the staging directory of other use the same directory'),
      expect.stringContaining('the drill of mairie and the drill of other use the same port of one host: port 5499'),
      expect.stringMatching(/^HINT /),
    ]);
  });

  it("the cluster's host needs allow_same_host", () => {
    expect(complaint(drill({ host: 'db1' }))).toEqual([
      'reprise.yml:11:13: drills of mairie would run on db1, the host of the cluster',
      'HINT name another host; or allow_same_host: true, where a drill may take room, memory and disk time from the cluster',
    ]);
  });
});

describe('P4: what a drill restores has to be there', () => {
  it.each<[string, Record<string, string>, string, string]>([
    ['an unknown host', { host: 'stagign' }, 'reprise.yml:11:13: unknown host "stagign"', 'did you mean "staging"?'],
    [
      'an unknown engine',
      { engines: '[dmup]' },
      'reprise.yml:14:17: mairie has no policy of that name or engine: "dmup"',
      'did you mean "dump"?',
    ],
    [
      'a disabled policy',
      { engines: '[dump, base]' },
      'reprise.yml:14:23: the policy base is disabled: it makes no backups that a drill could restore',
      'set enabled: true, or take it out of engines',
    ],
    [
      'an engine twice',
      { engines: '[dump, dump]' },
      'reprise.yml:14:23: "dump" appears here twice',
      'keep one of them',
    ],
    ['no engine', { engines: '[]' }, 'reprise.yml:14:7: engines may not be empty', ''],
    [
      'a person who is no contact',
      { sign_off: '{ by: [qua] }' },
      'reprise.yml:14:24: unknown contact "qua"',
      'did you mean "qa"?',
    ],
    [
      'a repository that staging cannot open',
      { engines: '[near]' },
      'reprise.yml:11:13: repository local is a directory of host db1, drills of mairie run on staging',
      'name a repository that both hosts can reach (type: s3), or drill on db1 with allow_same_host: true',
    ],
    [
      'a mask that is a shell line',
      { mask: '{ argv: "mask all" }' },
      'reprise.yml:14:21: expected a list, found text',
      '',
    ],
    ['an unknown key', { prot: '1' }, 'reprise.yml:14:7: unknown key "prot"', 'did you mean "port"?'],
  ])('%s is refused', (_, lines, message, hint) => {
    const told = complaint(drill(lines));
    expect(told[0]?.startsWith(message) || told).toBe(true);
    if (hint !== '') expect(told.at(-1)).toBe(`HINT ${hint}`);
  });

  it('a catalogue that staging cannot open is refused', () => {
    expect(complaint(drill().replace('    databases:', '    catalogue: local\n    databases:'))[0]).toMatch(
      /^reprise\.yml:12:13: the catalogue: repository local is a directory of host db1/,
    );
  });
});
