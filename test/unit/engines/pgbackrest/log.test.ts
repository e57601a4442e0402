import { describe, expect, it, test } from '@jest/globals';
import { parseListing } from '../../../../src/engines/pgbackrest/wal/archive.js';
import { parseConfigFile } from '../../../../src/engines/pgbackrest/config-file.js';
import { PGBACKREST } from '../../../../src/engines/pgbackrest/tool-rules.js';
import { errorTable } from '../../../../src/domain/errors.js';
import { toolFailure } from '../../../../src/process/exec/tool-rules.js';
import { compareInstants } from '../../../../src/domain/target/instant.js';
import { followWal, segmentBytesOf } from '../../../../src/postgres/wal/contiguous-wal.js';
import { archiveCommand, restoreCommand } from '../../../../src/engines/pgbackrest/wal/recovery-wal.js';
import { followTimeline } from '../../../../src/postgres/wal/timelines.js';

const MB = 1024 * 1024;
const failureOf = (command: string, exitCode: number, output: string) =>
  toolFailure(PGBACKREST, { name: `pgbackrest ${command}`, exitCode, output });
const isRetryable = (exitCode: number, output: string): boolean =>
  errorTable[failureOf('backup', exitCode, output).code].retryable;
const segment = (timeline: number, number: number): string =>
  `${String(timeline).padStart(8, '0')}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`;
const segments = (timeline: number, from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => segment(timeline, from + n));

test('the archive listing tells segments from histories, labels and what is half there', () => {
  const archive = parseListing(
    JSON.stringify({
      '.': { type: 'path' },
      '0000000100000000': { type: 'path' },
      [`0000000100000000/${segment(1, 4)}-${'a'.repeat(40)}.zst`]: { type: 'file' },
      [`0000000100000000/${segment(1, 3)}-${'b'.repeat(40)}`]: { type: 'file' },
      [`0000000100000000/${segment(1, 3)}.00000028.backup`]: { type: 'file' },
      [`0000000100000000/${segment(1, 5)}.partial-${'c'.repeat(40)}.gz`]: { type: 'file' },
      [`0000000100000000/${segment(1, 6)}-${'d'.repeat(40)}.gz.pgbackrest.tmp`]: { type: 'file' },
      '00000002.history': { type: 'file' },
      '0000000A.history': { type: 'file' },
    }),
    '15-1',
  );
  expect(archive.segments).toEqual([segment(1, 3), segment(1, 4)]);
  expect(archive.timelines).toEqual([2, 10]);
});

describe('timelines', () => {
  const second = { id: 2, history: [{ timeline: 1, switchLsn: '0/5000100' }] };
  const third = { id: 3, history: [{ timeline: 1, switchLsn: '0/7000000' }] };
  const fourth = { id: 4, history: [...second.history, { timeline: 2, switchLsn: '0/9000000' }] };

  it('follows the newest one that goes through the backup, and names the others', () => {
    const followed = followTimeline({ timeline: 1, stopLsn: '0/3000100' }, [second, third, fourth]);
    expect(followed.timeline.id).toBe(4);
    expect(followed.left).toEqual([{ id: 3, at: '0/5000100' }]);
  });
  it('does not follow one that was left before the backup ended', () => {
    expect(followTimeline({ timeline: 1, stopLsn: '0/6000000' }, [second, fourth])).toEqual({
      timeline: { id: 1, history: [] },
      left: [],
    });
    expect(followTimeline({ timeline: 2, stopLsn: '0/6000000' }, [second, third, fourth]).timeline.id).toBe(4);
  });
});

describe('F23: the log from a backup on', () => {
  const first = { id: 1, history: [] };
  const second = { id: 2, history: [{ timeline: 1, switchLsn: '0/5000100' }] };
  const follow = (present: string[], timeline: typeof second | typeof first) =>
    followWal(present, segment(1, 3), timeline, 16 * MB);

  it('goes to the last segment, or to the first gap, which is named', () => {
    expect(follow(segments(1, 1, 6), first)).toEqual({ end: segment(1, 6), missing: [] });
    expect(follow([...segments(1, 1, 4), ...segments(1, 7, 8)], first)).toEqual({
      end: segment(1, 4),
      missing: segments(1, 5, 6),
    });
    expect(follow(segments(1, 4, 6), first)).toEqual({ end: null, missing: [segment(1, 3)] });
    expect(follow([], first)).toEqual({ end: null, missing: [segment(1, 3)] });
  });
  it('changes the timeline in the segment of the switch; what the old one wrote after does not count', () => {
    expect(follow([...segments(1, 3, 9), ...segments(2, 5, 6)], second)).toEqual({ end: segment(2, 6), missing: [] });
    expect(follow([...segments(1, 3, 9), ...segments(2, 6, 7)], second)).toEqual({
      end: segment(1, 4),
      missing: [segment(2, 5)],
    });
    expect(follow([...segments(1, 3, 4), ...segments(2, 5, 5), ...segments(2, 7, 7)], second)).toEqual({
      end: segment(2, 5),
      missing: [segment(2, 6)],
    });
    // Nothing of the new timeline was archived yet but its history.
    expect(follow(segments(1, 3, 9), second)).toEqual({ end: segment(1, 5), missing: [] });
  });
  it('knows the segment size from the backup', () => {
    expect(segmentBytesOf({ lsn: { start: '0/3000028' }, wal: { start: segment(1, 3) } })).toBe(16 * MB);
    expect(segmentBytesOf({ lsn: { start: '0/8000028' }, wal: { start: segment(1, 2) } })).toBe(64 * MB);
  });
});

test('instants are compared to the microsecond', () => {
  expect(compareInstants('2026-11-21T09:22:53.886669Z', '2026-11-21T09:22:53.886670Z')).toBeLessThan(0);
  expect(compareInstants('2026-11-21T09:22:53Z', '2026-11-21T09:22:53.000Z')).toBe(0);
  expect(compareInstants('2026-11-21T09:22:53.9Z', '2026-11-21T09:22:53.886670Z')).toBeGreaterThan(0);
});

test('F35: commands that PostgreSQL runs in a shell are quoted, and % is doubled', () => {
  const context = (config: string) =>
    ({ policy: { options: { stanza: 'mairie', config } } }) as unknown as Parameters<typeof restoreCommand>[0];
  expect(restoreCommand(context('/etc/pgbackrest/pgbackrest.conf'))).toBe(
    'pgbackrest --config=/etc/pgbackrest/pgbackrest.conf --stanza=mairie --pg1-path="$PWD" --no-archive-async archive-get %f "%p"',
  );
  expect(archiveCommand(context("/etc/it's 100% $(id).conf"))).toBe(
    String.raw`pgbackrest --config='/etc/it'\''s 100%% $(id).conf' --stanza=mairie --no-neutral-umask archive-push %p`,
  );
});

test("a stanza's own options go before the global ones; other stanzas' do not count", () => {
  const config = parseConfigFile(
    '[global]\nrepo1-path=/a\n# repo1-path=/b\n[global:backup]\nstart-fast=y\n[mairie]\npg1-path = /y=z\nrepo1-path=/c\n[other]\npg1-path=/x\n',
    'mairie',
  );
  expect(Object.fromEntries(config)).toEqual({ 'repo1-path': '/c', 'start-fast': 'y', 'pg1-path': '/y=z' });
});

describe('exit codes', () => {
  const output =
    'P00  ERROR: [082]: WAL segment 00000001000000000000000E was not archived before the 1000ms timeout\n       HINT: check the archive_command';
  it('become errors with a code, the reason and what to do', () => {
    expect(failureOf('backup', 82, output)).toMatchObject({
      code: 'wal-not-archived',
      message: expect.stringContaining('was not archived before the 1000ms timeout') as unknown,
      details: { tool: 'pgbackrest backup' },
    });
    expect(
      failureOf('backup', 50, 'ERROR: [050]: unable to acquire lock on file: Resource temporarily unavailable').code,
    ).toBe('lock-held');
    expect(failureOf('backup', 50, "ERROR: [050]: unable to acquire lock on file 'x': Permission denied").code).toBe(
      'privilege-missing',
    );
    // Word for word what a restore onto a full disk says (2.45): a write that was cut short has no error of its own.
    const short =
      "ERROR: [064]: raised from local-1 protocol: unable to write '/srv/staging/base/1/1255': [2] No such file or directory";
    expect(failureOf('restore', 64, short).code).toBe('storage-full');
    expect(failureOf('backup', 64, 'ERROR: [064]: unable to write: [28] No space left on device').code).toBe(
      'storage-full',
    );
    expect(failureOf('backup', 125, 'gone wrong').code).toBe('tool-failed');
  });

  it('F10, F12: tells what an object store says, which pgBackRest ends with one exit code, and what of it is retried', () => {
    const http = (status: string, code = '') =>
      `ERROR: [039]: HTTP request failed with ${status}:\n       *** Response Content ***:\n       ${code === '' ? '' : `<Error><Code>${code}</Code></Error>`}`;
    const told = (output: string) => [failureOf('backup', 39, output).code, isRetryable(39, output)];
    expect(told(http('403 (Forbidden)', 'SignatureDoesNotMatch'))).toEqual(['storage-refused', false]);
    expect(told(http('400 (Bad Request)', 'ExpiredToken'))).toEqual(['storage-refused', false]);
    expect(told(http('404 (Not Found)', 'NoSuchBucket'))).toEqual(['storage-refused', false]);
    expect(told(http('503 (Slow Down)'))).toEqual(['storage-unreachable', true]);
    expect(failureOf('backup', 39, http('403 (Forbidden)', 'AccessDenied')).message).toBe(
      'pgbackrest backup: the storage refuses the credentials, or what they ask for: HTTP request failed with 403 (Forbidden) (AccessDenied)',
    );
    // It shares its exit code with a repository that cannot be decrypted.
    expect(
      failureOf(
        'info',
        95,
        "ERROR: [095]: unable to find hostname '127.0.0.1' in certificate common name or subject alternative names",
      ),
    ).toMatchObject({ code: 'config-invalid', hint: expect.stringContaining('repo1-storage-ca-file') as unknown });
  });
  it('F3: tell what is retried from what is final', () => {
    expect(isRetryable(82, output)).toBe(true);
    expect(isRetryable(56, '')).toBe(true);
    expect(isRetryable(51, '')).toBe(false);
    expect(isRetryable(64, 'No space left on device')).toBe(false);
  });
});
