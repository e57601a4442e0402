import { describe, expect, it, test } from '@jest/globals';
import {
  differenceOf,
  expireSteps,
  parseDryRun,
  walKeptFrom,
  withDependants,
} from '../../../../src/engines/pgbackrest/expire/expire-plan.js';
import { currentDatabase, listed, parseInfo } from '../../../../src/engines/pgbackrest/info.js';
import type { StanzaBackup } from '../../../../src/engines/pgbackrest/info.js';
import { chooseType } from '../../../../src/engines/pgbackrest/backup-type.js';
import { parseVerifyReport } from '../../../../src/engines/pgbackrest/verify/verify-report.js';
import { damageInReport } from '../../../../src/engines/pgbackrest/verify/verify.js';

const HOUR = 3_600;
const DAY = 24 * HOUR;
const database = { id: 1, systemIdentifier: '7710541170675425052', major: 15, archiveId: '15-1' };

describe('P1: type auto', () => {
  const now = '2026-11-21T02:15:00.000Z';
  const ago = (seconds: number): string => new Date(Date.parse(now) - seconds * 1000).toISOString();
  const type = (backups: readonly [StanzaBackup['type'], number, boolean?][], diffEverySeconds?: number): string =>
    chooseType({
      backups: backups.map(([kind, seconds, error = false]) => ({ type: kind, startedAt: ago(seconds), error })),
      fullEverySeconds: 7 * DAY,
      ...(diffEverySeconds === undefined ? {} : { diffEverySeconds }),
      startedAt: now,
    });

  it('is full where there is none, or the last is too old', () => {
    expect(type([])).toBe('full');
    expect(type([['full', 8 * DAY]])).toBe('full');
    expect(type([['full', 6 * DAY]])).toBe('incr');
  });
  it('counts a full backup that began some seconds after its schedule as a week old a week later', () => {
    expect(type([['full', 7 * DAY - 5]])).toBe('full');
    expect(type([['full', 7 * DAY - 2 * HOUR]])).toBe('incr');
  });
  it('is diff where one is due by age, else incr', () => {
    expect(type([['full', 2 * DAY]], DAY)).toBe('diff');
    expect(
      type(
        [
          ['full', 2 * DAY],
          ['diff', HOUR],
        ],
        DAY,
      ),
    ).toBe('incr');
    expect(
      type(
        [
          ['full', 2 * DAY],
          ['diff', DAY],
          ['incr', HOUR],
        ],
        DAY,
      ),
    ).toBe('diff');
  });
  it('rests nothing on a damaged backup', () => {
    expect(type([['full', DAY, true]])).toBe('full');
    expect(
      type([
        ['full', 2 * DAY],
        ['incr', DAY, true],
      ]),
    ).toBe('diff');
  });
  it('is the same in every attempt: what began after the operation does not count', () => {
    expect(type([['full', -HOUR]])).toBe('full');
  });
});

describe('info', () => {
  const backup = (label: string, type: string, prior: string | null, more: object = {}): object => ({
    ...{ label, type, prior, database: { id: 1, 'repo-key': 1 }, error: false, annotation: null },
    ...{
      archive: { start: '000000010000000000000003', stop: '000000010000000000000003' },
      lsn: { start: '0/3000028', stop: '0/3000100' },
    },
    ...{ info: { size: 24_811_186, delta: 1, repository: { delta: 3_252_375, size: 3_252_375 } }, reference: null },
    ...{ timestamp: { start: 1_795_250_286, stop: 1_795_250_288 }, ...more },
  });
  const stanza = (backups: object[], code = 0): string =>
    `[{"name":"mairie","status":{"code":${code},"message":"ok","lock":{"backup":{"held":true}}},"archive":[],` +
    `"db":[{"id":1,"system-id":7710541170675425052,"version":"15"},{"id":2,"system-id":1,"version":"16"}],"backup":${JSON.stringify(backups)}}]`;

  it('F17: keeps all digits of a system identifier', () => {
    expect(parseInfo(stanza([]), 'mairie').databases[0]).toEqual(database);
    expect(currentDatabase(parseInfo(stanza([]), 'mairie'))).toMatchObject({ id: 2, major: 16, archiveId: '16-2' });
  });
  it('follows the chain of a backup, nearest first', () => {
    const { backups, locked } = parseInfo(
      stanza([backup('F', 'full', null), backup('D', 'diff', 'F'), backup('I', 'incr', 'D')]),
      'mairie',
    );
    expect(backups.map(({ dependsOn }) => dependsOn)).toEqual([[], ['F'], ['D', 'F']]);
    expect(locked).toBe(true);
    expect(listed(backups[0] as StanzaBackup)).toEqual({
      ...{
        label: 'F',
        type: 'full',
        startedAt: '2026-11-21T08:38:06.000Z',
        finishedAt: '2026-11-21T08:38:08.000Z',
        sizeBytes: 3_252_375,
      },
      ...{ dependsOn: [], wal: { start: '000000010000000000000003', stop: '000000010000000000000003' } },
    });
  });
  it('shows what pgBackRest marked, and whose operation it was', () => {
    const { backups } = parseInfo(
      stanza([backup('F', 'full', null, { error: true, annotation: { reprise: 'op/1' } })]),
      'mairie',
    );
    expect(backups[0]?.operationId).toBe('op/1');
    expect(listed(backups[0] as StanzaBackup).damaged).toMatch(/checksums/);
  });
  it('tells no stanza, no backup and an unreadable repository apart', () => {
    expect(parseInfo(stanza([], 1), 'mairie')).toMatchObject({ exists: false, backups: [] });
    expect(parseInfo(stanza([], 2), 'mairie')).toMatchObject({ exists: true, backups: [] });
    expect(() => parseInfo(stanza([], 99), 'mairie')).toThrow(/cannot be reached/);
    expect(() => parseInfo('[{"name":"mairie"}]', 'mairie')).toThrow(/unknown form/);
  });
});

describe('B3, F30: what goes with a backup', () => {
  const known = (label: string, type: 'full' | 'diff' | 'incr', dependsOn: string[], start: string) => ({
    ...{ label, type, dependsOn, startedAt: label, database },
    wal: { start, stop: start },
  });
  const backups = [
    known('1F', 'full', [], '000000010000000000000003'),
    known('1F_2I', 'incr', ['1F'], '000000010000000000000005'),
    known('3F', 'full', [], '000000010000000000000009'),
    known('4F', 'full', [], '00000001000000000000000C'),
  ];

  test('dependants go too, newest first', () => {
    expect(withDependants(backups, ['1F'])).toEqual(['1F_2I', '1F']);
    expect(expireSteps(backups, ['1F', '3F'])).toEqual([
      { label: '3F', fullsLeft: 2 },
      { label: '1F_2I', fullsLeft: 2 },
      { label: '1F', fullsLeft: 1 },
    ]);
  });
  test('never the last full one', () => {
    expect(() => expireSteps(backups, ['1F', '3F', '4F'])).toThrow(/no full backup would remain/);
    expect(expireSteps(backups, [])).toEqual([]);
  });
  test('WAL stays from the oldest backup that stays, also where it is held amid others', () => {
    expect(walKeptFrom(backups, ['1F', '1F_2I'], '15-1')).toBe('000000010000000000000009');
    expect(walKeptFrom(backups, ['3F'], '15-1')).toBe('000000010000000000000003');
    expect(walKeptFrom(backups, [], '14-0')).toBeNull();
  });

  const log = (stop: string): string => `P00 INFO: [DRY-RUN] repo1: remove expired backup 1F_2I
    P00 INFO: [DRY-RUN] repo1: remove expired backup 1F
    P00 INFO: [DRY-RUN] repo1: 15-1 remove archive, start = 0000000100000000, stop = ${stop}`;
  const kept = (): string => '000000010000000000000009';
  const labels = backups.map(({ label }) => label);
  test('a dry run has to name the same', () => {
    expect(differenceOf(parseDryRun(log('000000010000000000000008')), ['1F_2I', '1F'], labels, kept)).toBeUndefined();
    expect(differenceOf(parseDryRun(log('000000010000000000000008')), ['1F'], labels, kept)).toMatch(
      /would also remove 1F_2I/,
    );
    expect(differenceOf(parseDryRun(log('000000010000000000000008')), ['3F', '1F_2I', '1F'], labels, kept)).toMatch(
      /would not remove 3F/,
    );
    expect(differenceOf(parseDryRun(log('000000010000000000000009')), ['1F_2I', '1F'], labels, kept)).toMatch(
      /needed from 000000010000000000000009/,
    );
    expect(differenceOf(parseDryRun(log('0000000100000000')), ['1F_2I', '1F'], labels, kept)).toMatch(/needed from/);
    expect(differenceOf(parseDryRun('repo1: remove archive path /repo/archive/t/15-1'), [], labels, kept)).toMatch(
      /up to its end/,
    );
  });
  test('files of an interrupted backup may go along', () => {
    expect(
      differenceOf(parseDryRun(`${log('0000')}\nremove expired backup 9F`), ['1F_2I', '1F'], labels, () => null),
    ).toBeUndefined();
  });
});

describe('F15: verify exits with 0 whatever it found', () => {
  const wal = { start: '000000010000000000000003', stop: '000000010000000000000004' };
  const log = (
    status: string,
    more = '',
    end = 'P00 INFO: verify command end: completed successfully (1ms)',
  ): string => `stanza: mairie
status: error
  archiveId: 15-1, total WAL checked: 6, total valid WAL: 6
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 1F, status: ${status}, total files checked: 965, total valid files: 964
    missing: 0, checksum invalid: 1, size invalid: 0, other: 0
${more}
2026-11-21 08:41:44.104 ${end}`;
  const judged = (text: string): string | undefined =>
    damageInReport(parseVerifyReport(text), { label: '1F', dependsOn: ['0F'], wal, database });

  test.each([
    ['valid', log('valid'), undefined],
    [
      'a bad file',
      log('invalid', "P01 INFO: invalid checksum '0F/pg_data/base/5/1.gz'"),
      'it is damaged (invalid, missing: 0, checksum invalid: 1, size invalid: 0, other: 0): 0F/pg_data/base/5/1.gz',
    ],
    [
      'no manifest',
      log('manifest missing'),
      'it is damaged (manifest missing, missing: 0, checksum invalid: 1, size invalid: 0, other: 0)',
    ],
    [
      'WAL it needs',
      log('valid', "P01 INFO: invalid size '15-1/0000000100000000/000000010000000000000004-abc.gz'"),
      'WAL that it needs is damaged: 000000010000000000000004',
    ],
    [
      'WAL it does not need',
      log('valid', "P01 INFO: invalid size '15-1/0000000100000000/000000010000000000000009-abc.gz'"),
      undefined,
    ],
    ['cut short', log('valid', '', ''), 'pgbackrest verify did not finish'],
    [
      'an unusable repository',
      'No usable backup.info file\nverify command end: completed successfully',
      'pgbackrest verify does not report it: No usable backup.info file',
    ],
  ])('%s', (_, text, verdict) => {
    expect(judged(text)).toBe(verdict);
  });
});
