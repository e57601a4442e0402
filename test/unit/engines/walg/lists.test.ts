import { describe, expect, it, test } from '@jest/globals';
import { RepriseError } from '../../../../src/domain/errors.js';
import { parseWalShow, withoutCutOff } from '../../../../src/engines/walg/wal/archive.js';
import { listed, parseBackupList } from '../../../../src/engines/walg/backup-list.js';
import { WALG } from '../../../../src/engines/walg/tool-rules.js';
import { toolFailure } from '../../../../src/process/exec/tool-rules.js';
import {
  behindNeeded,
  boundaryOf,
  differenceOf,
  parseDryRun,
  withDependants,
} from '../../../../src/engines/walg/removal/removal-plan.js';

const failureOf = (command: string, output: string) =>
  toolFailure(WALG, { name: `wal-g ${command}`, exitCode: 1, output });

const segment = (number: number, timeline = 1): string =>
  `${String(timeline).padStart(8, '0')}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`;

/** As 0.2.19 prints it: newest first, no storage name. */
const entry = (number: number, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  backup_name: `base_${segment(number)}`,
  time: '2026-11-21T15:10:52.953085739Z',
  wal_file_name: segment(number),
  start_time: `2026-11-21T15:10:${10 + number}.47929Z`,
  finish_time: `2026-11-21T15:10:${11 + number}.957378Z`,
  date_fmt: '%Y-%m-%dT%H:%M:%S.%fZ',
  hostname: 'vm',
  data_dir: '/data',
  pg_version: 140023,
  start_lsn: number * 16_777_216 + 40,
  finish_lsn: number * 16_777_216 + 256,
  is_permanent: false,
  system_identifier: 0,
  uncompressed_size: 26_524_650,
  compressed_size: 7_801_867,
  ...more,
});
const withIdentifier = (entries: readonly unknown[]): string =>
  JSON.stringify(entries).replaceAll('"system_identifier":0', '"system_identifier":7710642463924361125');

describe('backup-list --json --detail', () => {
  it('of 0.2.19: positions and identifiers of 64 bits, the WAL it needs, whose it is', () => {
    const [backup] = parseBackupList(
      withIdentifier([entry(4, { user_data: { reprise: 'backup/x' }, is_permanent: true })]),
    );
    expect(backup).toMatchObject({
      ...{
        label: `base_${segment(4)}`,
        type: 'full',
        startedAt: '2026-11-21T15:10:14.479Z',
        finishedAt: '2026-11-21T15:10:15.957Z',
      },
      ...{ lsn: { start: '0/4000028', stop: '0/4000100' }, wal: { start: segment(4), stop: segment(4) } },
      ...{
        systemIdentifier: '7710642463924361125',
        versionNum: 140023,
        sizeBytes: 7_801_867,
        databaseBytes: 26_524_650,
      },
      ...{ permanent: true, operationId: 'backup/x', dependsOn: [], baseless: false },
    });
  });

  it('of newer versions: a storage name, positions as text, whatever else they add', () => {
    const newer = entry(5, {
      storage_name: 'default',
      start_lsn: '0/5000028',
      finish_lsn: '0/6000000',
      files_metadata_disabled: false,
      user_data: null,
    });
    expect(parseBackupList(withIdentifier([newer]))[0]).toMatchObject({
      lsn: { start: '0/5000028', stop: '0/6000000' },
      wal: { start: segment(5), stop: segment(5) },
      operationId: null,
    });
  });

  it('tells a delta and the chain it rests on, oldest first; a chain without its base is damaged', () => {
    const delta = (number: number, base: number) =>
      entry(number, { backup_name: `base_${segment(number)}_D_${segment(base)}`, uncompressed_size: 100 });
    const backups = parseBackupList(withIdentifier([delta(4, 3), delta(3, 2), entry(2)]));
    expect(backups.map(({ label, type }) => [label, type])).toEqual([
      [`base_${segment(2)}`, 'full'],
      [`base_${segment(3)}_D_${segment(2)}`, 'incr'],
      [`base_${segment(4)}_D_${segment(3)}`, 'incr'],
    ]);
    expect(backups[2]).toMatchObject({
      dependsOn: [backups[1]?.label, backups[0]?.label],
      databaseBytes: 26_524_850,
      baseless: false,
    });
    const [orphan] = parseBackupList(withIdentifier([delta(4, 3)]));
    expect(orphan && listed(orphan).damaged).toContain('no longer in the storage');
  });

  it('nothing at all is printed where there is no backup; an unknown form is an error', () => {
    expect(parseBackupList('')).toEqual([]);
    expect(parseBackupList('[]')).toEqual([]);
    expect(() => parseBackupList('[{"backup_name":"base_x"}]')).toThrow(
      expect.objectContaining({ code: 'tool-failed' }),
    );
  });
});

test('F23: wal-show tells which segments and histories are there, holes left out', () => {
  const info = (id: number, first: number, last: number, missing: string[], parent: number) => ({
    ...{
      id,
      parent_id: parent,
      switch_point_lsn: 0,
      start_segment: segment(first, id),
      end_segment: segment(last, id),
    },
    ...{
      segments_count: last - first + 1 - missing.length,
      missing_segments: missing,
      segment_range_size: last - first + 1,
      status: 'OK',
    },
  });
  expect(parseWalShow(JSON.stringify([info(2, 5, 6, [], 1), info(1, 2, 5, [segment(3)], 0)]))).toEqual({
    segments: [segment(2), segment(4), segment(5), segment(5, 2), segment(6, 2)],
    timelines: [2],
  });
  expect(parseWalShow('[]')).toEqual({ segments: [], timelines: [] });
  // 64 MB segments: 64 of them a log file of 4 GB, not 256.
  const big = { ...info(1, 63, 63, [], 0), end_segment: '000000010000000100000000', segment_range_size: 2 };
  expect(parseWalShow(JSON.stringify([big])).segments).toEqual([segment(63), '000000010000000100000000']);
});

test('F24: a last segment whose wal-push was cut off is the end of the log, and any other failure is one', async () => {
  const archive = (failure: Error | null) => ({
    segments: [segment(2), segment(3)],
    timelines: [],
    readHistory: () => Promise.resolve([]),
    fetch: (name: string) => (failure !== null && name === segment(3) ? Promise.reject(failure) : Promise.resolve()),
  });
  const said = (line: string) => failureOf('wal-fetch', `ERROR: 2026/11/21 17:08:39.755812 ${line}\n`);
  expect(await withoutCutOff(archive(said('DecompressLz4: lz4 write failed: unexpected EOF')), '/x')).toMatchObject({
    archive: { segments: [segment(2)] },
    cut: segment(3),
  });
  expect(await withoutCutOff(archive(null), '/x')).toMatchObject({
    archive: { segments: [segment(2), segment(3)] },
    cut: null,
  });
  // Cut at the end of a block it is unpacked, and short; of its full length it is no cut, and damage is a matter of the log.
  const damaged = (short: boolean) => new RepriseError('backup-corrupt', 'damaged', undefined, { short });
  expect(await withoutCutOff(archive(damaged(true)), '/x')).toMatchObject({ cut: segment(3) });
  expect(await withoutCutOff(archive(damaged(false)), '/x')).toMatchObject({
    archive: { segments: [segment(2), segment(3)] },
    cut: null,
  });
  await expect(
    withoutCutOff(archive(said('dial tcp 127.0.0.1:9: connect: connection refused')), '/x'),
  ).rejects.toMatchObject({ code: 'storage-unreachable' });
});

it('F15: a backup-fetch whose files could not be read says nothing against the backup; a damaged file does', () => {
  const end = 'ERROR: 2026/11/21 17:09:39.755503 Failed to fetch backup: failed to extract files:\npart_001.tar.lz4\n';
  const code = (line: string) =>
    failureOf('backup-fetch', `ERROR: 2026/11/21 17:08:39.755503 part_001.tar.lz4 ${line}\n${end}`).code;
  expect(
    code(
      'DecryptAndDecompressTar: failed to create new reader: FS error : open /s/part_001.tar.lz4: permission denied',
    ),
  ).toBe('privilege-missing');
  expect(
    code(
      'DecryptAndDecompressTar: failed to create new reader: RequestError: send request failed caused by: dial tcp 10.0.0.9:443: i/o timeout',
    ),
  ).toBe('storage-unreachable');
  expect(
    code(
      'DecryptAndDecompressTar: lz4 decompress failed. Is archive encrypted?: DecompressLz4: lz4 write failed: unexpected EOF',
    ),
  ).toBe('backup-corrupt');
  expect(
    failureOf(
      'backup-push',
      'ERROR: Connect: postgres connection failed: dial tcp 127.0.0.1:5432: connect: connection refused',
    ).code,
  ).toBe('database-unreachable');
});

describe('B3: removal', () => {
  const known = (number: number, more: { base?: number; permanent?: boolean } = {}) => ({
    label: `base_${segment(number)}${more.base === undefined ? '' : `_D_${segment(more.base)}`}`,
    type: more.base === undefined ? ('full' as const) : ('incr' as const),
    dependsOn: more.base === undefined ? [] : [`base_${segment(more.base)}`],
    permanent: more.permanent ?? false,
  });
  const [first, delta, second, third] = [known(2), known(3, { base: 2 }), known(4), known(5)];
  const all = [first, delta, second, third];

  it('takes what rests on a backup along, newest first', () => {
    expect(withDependants(all, [first.label])).toEqual([delta.label, first.label]);
  });

  it('with `delete before`: only what is older than the first that stays', () => {
    expect(boundaryOf(all, [first.label, delta.label])).toBe(second.label);
    expect(() => boundaryOf(all, [second.label])).toThrow(
      expect.objectContaining({
        code: 'rotation-refused',
        message: expect.stringContaining(`while ${first.label} is kept`) as unknown,
      }),
    );
    expect(() =>
      boundaryOf(
        all,
        all.map(({ label }) => label),
      ),
    ).toThrow(expect.objectContaining({ code: 'rotation-refused' }));
    expect(() => boundaryOf(all, [first.label])).toThrow(
      expect.objectContaining({ message: expect.stringContaining('which is a delta') as unknown }),
    );
    // What is held stays where it is, and the others before it may go.
    expect(boundaryOf([known(2, { permanent: true }), second, third], [second.label])).toBe(third.label);
  });

  it('with `delete before`: what is newer than a backup in use stays as long as it is, with what that rests on', () => {
    const labels = (going: readonly string[], needed: string) =>
      behindNeeded(all, going, new Set([needed]))?.labels ?? [];
    expect(labels([second.label], first.label)).toEqual([second.label]);
    expect(labels([first.label, delta.label], second.label)).toEqual([]);
    // Nobody needs the first that stays: it is the retention that does not fit.
    expect(labels([second.label], third.label)).toEqual([]);
    const chain = [first, second, known(5, { base: 2 })];
    expect(behindNeeded(chain, [first.label, chain[2]?.label ?? ''], new Set([second.label]))?.labels).toEqual([
      first.label,
      chain[2]?.label,
    ]);
  });

  it('goes on only where a dry run names exactly the same, old words and new', () => {
    const old = [
      `INFO: 2026/11/21 15:10:53.050298 \twill be deleted: basebackups_005/${first.label}_backup_stop_sentinel.json`,
      `INFO: 2026/11/21 15:10:53.050298 \twill be deleted: basebackups_005/${first.label}/tar_partitions/part_001.tar.lz4`,
      `INFO: 2026/11/21 15:10:53.050298 \twill be deleted: wal_005/${segment(2)}.00000028.backup.lz4`,
      `INFO: 2026/11/21 15:10:53.050298 \twill be deleted: wal_005/${segment(2)}.lz4`,
    ].join('\n');
    const newer = `INFO: 2026/01/07 11:08:16 Object marked for deletion: ${first.label}/metadata.json storage=default\nINFO: Object marked for deletion: ${first.label}_backup_stop_sentinel.json storage=default`;
    const garbage = `INFO: 2026/01/07 11:08:16 \twill be deleted: wal_005/${segment(2)}.lz4, from storage: default`;
    expect(parseDryRun(old)).toEqual({ labels: [first.label], segments: [segment(2)] });
    expect(parseDryRun(newer)).toEqual({ labels: [first.label], segments: [] });
    expect(parseDryRun(garbage).segments).toEqual([segment(2)]);
    const known = all.map(({ label }) => label);
    const judge = (planned: string[], keptFrom = segment(3)) =>
      differenceOf(parseDryRun(old), planned, known, keptFrom);
    expect(judge([first.label])).toBeUndefined();
    expect(judge([])).toBe(`it would also remove ${first.label}`);
    expect(judge([first.label, delta.label])).toBe(`it would not remove ${delta.label}`);
    expect(judge([first.label], segment(2))).toContain(`it would remove the WAL segment ${segment(2)}`);
    // An interrupted push's files are in no list.
    expect(differenceOf(parseDryRun(old), [], [], segment(3))).toBeUndefined();
  });
});

it('U5: a listing that claims more segments than there can be is refused', () => {
  const info = {
    id: 1,
    parent_id: 0,
    start_segment: '000000010000000000000001',
    end_segment: '00000001FFFFFFFF000000FF',
    segments_count: 2,
    segment_range_size: 1_099_511_627_775,
  };
  expect(() => parseWalShow(JSON.stringify([info]))).toThrow(/unknown form/);
});
