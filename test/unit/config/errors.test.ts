import { describe, expect, it, test } from '@jest/globals';
import { engineKinds } from '../../../src/engines/registry.js';
import { storageKinds } from '../../../src/storage/registry.js';
import { complaint, parsed, valid, with_ } from './given.js';

const policy = (lines: string) => with_('engine: logical', lines.replaceAll('\n', '\n        '));
const cluster = (line: string, text = valid) => with_('data_dir: /data', `data_dir: /data\n    ${line}`, text);

describe('F38: a wrong config names file, line and column', () => {
  test.each<[string, string, string[]]>([
    [
      'unknown key',
      policy('engine: logical\nretnetion: { days: 3 }'),
      ['reprise.yml:10:9: unknown key "retnetion"', 'HINT did you mean "retention"?'],
    ],
    [
      'unknown key, nothing near',
      'banana: 1\n' + valid,
      [
        'reprise.yml:1:1: unknown key "banana"',
        'HINT known keys: version, language, temporal, hosts, repositories, clusters, contacts, notifiers, notify, raci, media, evidence',
      ],
    ],
    [
      'unknown option of an engine',
      policy('engine: pgbackrest\noptions: { stanza: a, config: b, typ: full }'),
      ['reprise.yml:10:42: unknown key "typ"', 'HINT did you mean "type"?'],
    ],
    [
      'unknown engine',
      policy('engine: pgbackrst'),
      ['reprise.yml:9:17: unknown engine "pgbackrst"', 'HINT did you mean "pgbackrest"?'],
    ],
    [
      'engine that does not exist',
      policy('engine: barman'),
      ['reprise.yml:9:17: unknown engine "barman"', `HINT known engines: ${Object.keys(engineKinds).join(', ')}`],
    ],
    [
      'storage that does not exist',
      with_('clusters:', 'repositories: { offsite: { type: azure } }\nclusters:'),
      ['reprise.yml:2:34: unknown type "azure"', `HINT known types: ${Object.keys(storageKinds).join(', ')}`],
    ],
    [
      'secret in the file',
      with_('clusters:', 'repositories: { offsite: { type: s3, bucket: backups, access_key_id: AKIA1 } }\nclusters:'),
      [
        'reprise.yml:2:70: a secret must not be written in this file',
        'HINT write { env: NAME }, { file: PATH } or { command: [program, argument, ...] }',
      ],
    ],
    [
      'bucket that is none',
      with_('clusters:', 'repositories: { offsite: { type: s3, bucket: X_Y } }\nclusters:'),
      ['reprise.yml:2:46: a bucket has 3 to 63 of a-z, 0-9, dot and dash'],
    ],
    [
      'R9: a database that nobody can connect to',
      with_('[mairie]', '[mairie, template0]'),
      [
        'reprise.yml:6:25: template0 takes no connections and holds no data',
        'HINT remove it: every cluster has its own, and new databases are made from it',
      ],
    ],
    ...[
      ['sslmode: verify-full', "verify-full needs sslrootcert: the authority that signs the server's certificate"],
      [
        'sslrootcert: /ca',
        'without sslmode: require, verify-ca or verify-full the certificate of the server is not checked',
      ],
      ['sslmode: require, sslkey: /k', 'sslcert and sslkey belong together'],
      ['sslcert: /c, sslkey: /k', 'it is used only with sslmode'],
      ['sslmode: verify', 'expected one of disable, allow, prefer, require, verify-ca, verify-full'],
    ].map(([keys = '', message = '']): [string, string, string[]] => [
      `R14: ${keys}`,
      with_('user: reprise', `user: reprise, ${keys}`),
      [expect.stringContaining(message) as unknown as string],
    ]),
    ['missing engine', policy('enabled: true'), ['reprise.yml:8:7: missing key "engine"']],
    ['missing key', with_('connection: { user: reprise }', 'connection: {}'), ['reprise.yml:4:5: missing key "user"']],
    [
      'missing key below a missing key',
      policy('engine: pgbackrest\noptions: { config: a }'),
      ['reprise.yml:10:9: missing key "stanza"'],
    ],
    ['wrong type', policy('engine: logical\nenabled: yes'), ['reprise.yml:10:18: expected true or false, found text']],
    ['text where a list belongs', with_('[mairie]', 'mairie'), ['reprise.yml:6:16: expected a list, found text']],
    [
      'a number where text belongs',
      with_('[mairie]', '[2026]'),
      ['reprise.yml:6:17: expected text, found a number', 'HINT put it in quotes'],
    ],
    [
      'nothing where a mapping belongs',
      with_('{ user: reprise }', ''),
      ['reprise.yml:4:17: expected a mapping, found nothing'],
    ],
    [
      'unknown value',
      with_('version: 1', 'version: 1\nlanguage: frr'),
      ['reprise.yml:2:11: "frr" is not known here', 'HINT did you mean "fr"?'],
    ],
    ['retention 0', policy('engine: logical\nretention: { days: 0 }'), ['reprise.yml:10:28: days must be at least 1']],
    [
      'negative retention',
      policy('engine: logical\nretention: { count: -3 }'),
      ['reprise.yml:10:29: count must be at least 1'],
    ],
    [
      'half a backup',
      policy('engine: logical\nretention: { min_proven: 1.5 }'),
      ['reprise.yml:10:34: expected a whole number'],
    ],
    [
      'a duration without a unit',
      policy('engine: logical\nschedule: { cron: "1 1 * * *", catch_up: 6 }'),
      ['reprise.yml:10:50: expected a duration such as 90s, 5m, 4h or 7d'],
    ],
    [
      'unknown repository',
      policy('engine: logical\nrepository: locl'),
      ['reprise.yml:10:21: unknown repository "locl"', 'HINT did you mean "local"?'],
    ],
    ['unknown host', cluster('host: db2'), ['reprise.yml:6:11: unknown host "db2"', 'HINT known hosts: local']],
    [
      'unknown contact',
      cluster('approvals: { recover: { from: [dba] } }'),
      ['reprise.yml:6:36: unknown contact "dba"', 'HINT there are no contacts'],
    ],
    [
      'unknown hook',
      cluster('hooks: { stop: { argv: [x], undo: strat }, start: { argv: [y] } }'),
      ['reprise.yml:6:39: unknown hook "strat"', 'HINT did you mean "start"?'],
    ],
    [
      'an undo of the last step',
      cluster('hooks: { stop: { argv: [x] }, start-applications: { argv: [y], undo: stop } }'),
      [
        'reprise.yml:6:74: start-applications is the last step of a recovery: it cannot be undone',
        'HINT give stop-applications an undo instead',
      ],
    ],
    [
      'a shell line',
      cluster('hooks: { stop: { argv: "rm -rf /" } }'),
      ['reprise.yml:6:28: expected a list, found text', 'HINT write [program, argument, ...]: no shell reads it'],
    ],
    [
      'several hosts and none named',
      with_(
        'clusters:',
        'hosts: { a: {}, b: {} }\nrepositories: { r: { type: directory, path: x, host: a } }\nclusters:',
      ),
      ['reprise.yml:5:3: missing key "host"', 'HINT name one of: a, b'],
    ],
    [
      'duplicate key',
      valid + 'version: 1\n',
      ['reprise.yml:10:1: the key version appears here twice', 'HINT keep one of them'],
    ],
    [
      'unknown tag',
      with_('version: 1', 'version: 1\nx: !!js/function "y"'),
      ['reprise.yml:2:4: not valid YAML: unresolved tag: tag:yaml.org,2002:js/function'],
    ],
    ['prototype', valid + '__proto__: { a: 1 }\n', ['reprise.yml:10:1: the key "__proto__" may not be used']],
    ['an empty file', '', ['reprise.yml:1:1: expected a mapping, found nothing']],
    ['another version', with_('version: 1', 'version: 2'), ['reprise.yml:1:10: expected version: 1']],
    [
      'a step without its hook',
      cluster('recovery: { steps: [stop-applications, restore] }'),
      [
        'reprise.yml:6:25: step stop-applications needs a hook of that name',
        'HINT add hooks: { stop-applications: { argv: [...] } }',
      ],
    ],
    [
      'steps out of order',
      cluster('recovery: { steps: [run-checks, restore] }'),
      [
        'reprise.yml:6:17: the steps are not in the order of the runbook, or one is listed twice',
        'HINT write: [restore, run-checks]',
      ],
    ],
    [
      'steps that restore nothing',
      cluster('recovery: { steps: [run-checks] }'),
      [
        'reprise.yml:6:17: the steps lack restore',
        'HINT the whole order is: stop-applications, safety-backup, restore, run-checks, start-applications',
      ],
    ],
    [
      'more approvers than there are',
      cluster('approvals: { recover: { approvers: 2, from: [dba] } }', valid + 'contacts: { dba: {} }\n'),
      [
        'reprise.yml:6:40: 2 approvers are required, and from: names 1',
        'HINT no plan could be approved: name more contacts, or set fewer approvers',
      ],
    ],
    [
      'a check without a rule',
      cluster('checks: { a: { type: sql, database: x, query: y } }'),
      ['reprise.yml:6:15: the check compares with nothing', 'HINT add compare: recorded, min:, max: or equals:'],
    ],
    [
      'a physical engine without a directory',
      with_('    data_dir: /data\n', '', policy('engine: pgbackrest\noptions: { stanza: a, config: b }')),
      [
        'reprise.yml:7:7: engine pgbackrest backs up a data directory, and the cluster has none',
        'HINT add data_dir: to the cluster',
      ],
    ],
    [
      'a logical engine without databases',
      with_('    databases: [mairie]\n', ''),
      [
        'reprise.yml:7:7: engine logical backs up databases, and the cluster has none',
        'HINT add databases: [NAME] to the cluster',
      ],
    ],
    [
      'a database twice',
      with_('[mairie]', '[mairie, mairie]'),
      ['reprise.yml:6:25: database "mairie" appears here twice', 'HINT keep one of them'],
    ],
    [
      'a path with ~',
      with_('/data', '~/data'),
      ['reprise.yml:5:15: expected a path: whole, or relative to this file, without "~" and control characters'],
    ],
  ])('%s', (_, text, expected) => {
    expect(complaint(text)).toEqual(expected);
  });

  it('tells all problems at once, in the order of the file', () => {
    const text = with_(
      'version: 1',
      'version: 1\nlanguage: frr',
      policy('engine: logical\nretnetion: 1\nrepository: lcal\nretention: { days: 0 }'),
    );
    expect(complaint(text)).toEqual([
      'reprise.yml:2:11: "frr" is not known here (did you mean "fr"?)',
      'reprise.yml:11:9: unknown key "retnetion" (did you mean "retention"?)',
      'reprise.yml:12:21: unknown repository "lcal" (did you mean "local"?)',
      'reprise.yml:13:28: days must be at least 1',
      'HINT correct these 4 places, then: reprise config check',
    ]);
  });

  it('what an alias repeats is shown where its text stands', () => {
    const text = policy('engine: logical\nretention: &r { days: 3 }\nschedule: *r');
    expect(complaint(text)[0]).toBe(
      'reprise.yml:10:25: unknown key "days" (known keys: cron, calendar, timezone, catch_up)',
    );
  });

  it('YAML that cannot be read shows its place and none of its text', () => {
    const lines = complaint(with_('user: reprise }', 'user: reprise, passfile: "hunter2'));
    expect(lines[0]).toMatch(/^reprise\.yml:\d+:\d+: not valid YAML: /);
    expect(lines.join()).not.toContain('hunter2');
  });
});

describe('F38: two of a kind in one place', () => {
  const two = (repositories: string) =>
    with_('clusters:', `repositories:\n${repositories}clusters:`, policy('engine: logical\nrepository: a'));
  const physical = (more: string) => policy(`engine: pgbackrest\noptions: { stanza: s, config: /c }\n${more}`);

  it('two repositories on one directory, however it is spelled', () => {
    expect(
      complaint(
        two('  a: { type: directory, path: /srv/backups }\n  b: { type: directory, path: ../../srv/x/../backups/ }\n'),
      ),
    ).toEqual([
      'reprise.yml:4:3: repository a and repository b use the same directory, or one inside the other: /srv/backups',
      'HINT give each a separate place',
    ]);
  });

  it("a repository within another: a cluster's folder of one could be the other", () => {
    expect(
      complaint(two('  a: { type: directory, path: /srv }\n  b: { type: directory, path: /srv/mairie }\n'))[0],
    ).toBe(
      'reprise.yml:4:3: repository a and repository b use the same directory, or one inside the other: /srv/mairie',
    );
    expect(
      complaint(two('  a: { type: directory, path: /srv }\n  b: { type: directory, path: /srv/..x }\n'))[0],
    ).toContain('use the same directory, or one inside the other: /srv/..x');
    expect(() =>
      parsed(
        two(
          '  a: { type: directory, path: /srv }\n  b: { type: directory, path: /srv2 }\n  c: { type: directory, path: /..srv }\n',
        ),
      ),
    ).not.toThrow();
  });

  it('two repositories on one bucket, from whichever host and however the server is spelled', () => {
    const s3 = (name: string, more: string) => `  ${name}: { type: s3, bucket: dumps, region: eu-west-3${more} }\n`;
    const collide = (one: string, other: string) => complaint(two(s3('a', one) + s3('b', other)))[0];
    const clash = 'reprise.yml:4:3: repository a and repository b use the same directory, or one inside the other: ';
    expect(collide(', host: local', '')).toBe(`${clash}/aws/dumps/`);
    expect(collide('', ', endpoint: "https://S3.eu-west-3.amazonaws.com:443/"')).toBe(`${clash}/aws/dumps/`);
    expect(
      collide(', endpoint: "https://Minio.example"', ', prefix: of/b, endpoint: "https://minio.example:443/"'),
    ).toBe(`${clash}/minio.example/dumps/of/b`);
    expect(() =>
      parsed(two(s3('a', ', endpoint: "https://minio.example:9000"') + s3('b', ', endpoint: "https://minio.example"'))),
    ).not.toThrow();
  });

  it('a repository in the data directory, which a recovery puts aside', () => {
    expect(complaint(two('  a: { type: directory, path: /data/backups }\n'))[0]).toBe(
      'reprise.yml:3:3: repository a and the data directory of mairie overlap: one directory is inside the other',
    );
  });

  it('two policies with one stanza, and two that want the archive_command', () => {
    const text = with_(
      '      dump:',
      '      spare: { engine: pgbackrest, enabled: false, options: { stanza: s, config: /c } }\n      dump:',
      physical('enabled: true'),
    );
    expect(complaint(text)).toEqual([
      'reprise.yml:9:7: policy mairie/spare and policy mairie/dump share one place: stanza s of /c',
      'HINT give each a separate place',
    ]);
    const other = text.replace('stanza: s', 'stanza: t');
    expect(() => parsed(other)).not.toThrow();
    expect(complaint(other.replace('enabled: false', 'enabled: true'))).toEqual([
      'reprise.yml:9:7: policies spare and dump both need the archive_command of this cluster',
      'HINT keep one, or set enabled: false on the other',
    ]);
  });

  it('two clusters that are one server, or one data directory', () => {
    const other = (line: string) => valid.replace('clusters:\n', `clusters:\n  other: { ${line} }\n`);
    expect(complaint(other('connection: { user: x }'))[0]).toBe(
      'reprise.yml:4:3: cluster other and cluster mairie are one server: 127.0.0.1:5432',
    );
    expect(complaint(other('connection: { user: x, port: 5433 }, data_dir: /data'))[0]).toBe(
      'reprise.yml:4:3: the data directory of other and the data directory of mairie use the same directory, or one inside the other: /data',
    );
  });

  it('a recovery target on the live directory or the live port', () => {
    const target = (text: string) => complaint(cluster(`recovery: { targets: { beside: ${text} } }`))[0];
    expect(target('{ data_dir: /data, port: 5433 }')).toBe(
      'reprise.yml:6:28: the data directory of mairie and target beside use the same directory, or one inside the other: /data',
    );
    expect(target('{ data_dir: /other, port: 5432 }')).toBe("reprise.yml:6:62: port 5432 is the cluster's own");
  });

  it('a policy in a folder of the catalogue, or named as a schedule', () => {
    for (const name of ['records', 'incidents', 'evidence', 'daily-check'])
      expect(complaint(valid.replace('dump:', `${name}:`))[0]).toBe(
        `reprise.yml:8:7: a policy may not be named ${name}`,
      );
  });
});

describe('F27: schedules mean what they say', () => {
  const schedule = (text: string) => policy(`engine: logical\nschedule: ${text}`);

  it('cron that restricts both days means "or", Temporal "and": refused', () => {
    expect(complaint(schedule('{ cron: "0 2 1-7 1,4,7,10 0" }'))).toEqual([
      'reprise.yml:10:27: day of month and day of week are both restricted: cron means "or", Temporal means "and"',
      'HINT for "and" write calendar: { day_of_week: SUNDAY, day_of_month: "1-7", hour: 2 }; for "or" make two policies',
    ]);
  });

  test.each([
    '1 1 * *',
    '0 1 1 * * *',
    '@daily',
    '1 1 L * *',
    '1 1 * * 5#2',
    '1 1 * * MOND',
    '61 1 * * *',
    '1 24 * * *',
    '0 0 30 2 *',
    'x',
    '1,, 1 * * *',
  ])('cron "%s" is refused', (cron) => {
    expect(complaint(schedule(`{ cron: "${cron}" }`))[0]).toMatch(
      /^reprise\.yml:10:27: this cron line|^reprise\.yml:10:27: this is no cron/,
    );
  });

  test.each(['30 1 * * *', '*/15 * * * *', '0 2 1,15 JAN-MAR *', '0 2 * * MON-FRI', '0 2 * * 7', '0 2 */2 * 1'])(
    'cron "%s" is taken',
    (cron) => {
      expect(parsed(schedule(`{ cron: "${cron}" }`)).clusters['mairie']?.policies['dump']?.schedule).toEqual({
        cron,
        catchUpSeconds: 21_600,
      });
    },
  );

  it('a calendar out of its ranges, both or none are refused', () => {
    expect(complaint(schedule('{ calendar: { day_of_week: SUNDAY, day_of_month: "7-1", hour: 2 } }'))[0]).toBe(
      'reprise.yml:10:68: expected a number from 1 to 31, a range such as "1-31", or a list of them',
    );
    expect(complaint(schedule('{}'))[0]).toBe('reprise.yml:10:9: a schedule needs one of cron and calendar');
    expect(complaint(schedule('{ cron: "1 1 * * *", calendar: { hour: 1 } }'))[0]).toBe(
      'reprise.yml:10:9: a schedule needs one of cron and calendar',
    );
  });
});

describe('what comes later is refused in plain words: nothing silently does nothing', () => {
  test.each(['signers'])('%s', (key) => {
    expect(complaint(`${valid}${key}: { a: 1 }\n`)).toEqual([
      `reprise.yml:10:1: "${key}" is not supported by this version`,
      expect.stringMatching(/^HINT remove it: .* come with a later version$/),
    ]);
  });

  test.each<[string, string, string]>([
    [
      'signatures',
      'approvals: { recover: { from: [dba], signatures: required } }',
      'reprise.yml:6:54: signatures are not available yet: approvals are asserted in this version',
    ],
    [
      'systemd',
      'service: { kind: systemd, unit: x }',
      'reprise.yml:6:22: service kind "systemd" is not available yet in this version',
    ],
  ])('%s', (_, line, expected) => {
    expect(complaint(cluster(line, valid + 'contacts: { dba: {} }\n'))[0]).toBe(expected);
  });

  it.each<[string, string]>([
    ['{ mode: aside-on }', 'reprise.yml:6:17: mode aside-on needs a path'],
    [
      '{ mode: aside-on, path: /data/old }',
      'reprise.yml:6:51: /data/old is inside the data directory that is replaced',
    ],
    ['{ mode: overwrite-delta, path: /x }', 'reprise.yml:6:58: mode overwrite-delta takes no path'],
    ['{ mode: asside }', 'reprise.yml:6:35:'],
  ])('old_data: %s', (value, expected) => {
    expect(complaint(cluster(`recovery: { old_data: ${value} }`, valid))[0]).toContain(expected);
  });

  it('old_data: a path counts from the file; the other modes have none', () => {
    const oldData = (value: string) =>
      parsed(cluster(`recovery: { old_data: ${value} }`)).clusters['mairie']?.recovery.oldData;
    expect(oldData('{ mode: aside-on, path: spare }')).toEqual({ mode: 'aside-on', path: '/etc/reprise/spare' });
    expect(oldData('{ mode: overwrite-delta }')).toEqual({ mode: 'overwrite-delta' });
  });
});

describe('K3: media', () => {
  const withMedia = (entry: string) =>
    complaint(
      `${valid.replace('engine: logical', 'engine: logical\n        repository: local')}repositories:\n  photos: { type: directory, path: /photos }\n  local: { type: directory, path: /backups }\nmedia:\n  photos: ${entry}\n`,
    );

  test('a repository of their own, never one that holds backups', () => {
    expect(withMedia('{ repository: local, cluster: nowhere }')).toEqual(
      expect.arrayContaining([expect.stringContaining('unknown cluster "nowhere"')]),
    );
    expect(withMedia('{ repository: local, cluster: mairie }')).toEqual(
      expect.arrayContaining([expect.stringContaining('repository local holds backups or records')]),
    );
    expect(withMedia('{ repository: photos, cluster: mairie, prefix: /photos }')).toEqual(
      expect.arrayContaining([expect.stringContaining('a prefix has no slash in front')]),
    );
    expect(withMedia('{ repository: photos, cluster: mairie, multipart_copy_above: 6GiB }')).toEqual(
      expect.arrayContaining([expect.stringContaining('no more than 5GiB at once')]),
    );
  });
});
