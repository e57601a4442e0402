import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { byKey, sideBySide } from '../../../src/media/ordered.js';
import { type KeyVersions, restoreInPlace } from '../../../src/media/restore.js';
import { summarise } from '../../../src/media/summary.js';
import { fewestOldVersionDays, smallObjectsOf } from '../../../src/storage/s3/settings/lifecycle.js';
import type { S3Options } from '../../../src/storage/s3/options.js';
import { inOrder, takeVersions } from '../../../src/storage/s3/versions/version-entries.js';
import { decodeKey } from '../../../src/storage/s3/versions/versions.js';
import type { ObjectVersion } from '../../../src/storage/storage.js';
import { collect } from '../../helpers/collect.js';

type Event = { readonly put: string } | 'delete';

/** A key's versions as a bucket keeps them, newest first, after a history of events a second apart or in one second. */
class Key {
  versions: ObjectVersion[] = [];
  private made = 0;

  constructor(readonly key = 'a') {}

  happen(event: Event, at: number): void {
    this.versions = this.versions.map((version) => ({ ...version, latest: false }));
    const content =
      event === 'delete'
        ? { deleted: true, etag: '', sizeBytes: 0 }
        : { deleted: false, etag: `etag-of ${event.put}`.replace('-', ' '), sizeBytes: event.put.length };
    this.versions.unshift({
      key: this.key,
      versionId: `v${++this.made}`,
      latest: true,
      modifiedAt: new Date(at * 1000).toISOString(),
      ...content,
    });
  }

  get present(): string | null {
    const [first] = this.versions;
    return first === undefined || first.deleted ? null : first.etag;
  }

  async restore(at: number, later: 'keep' | 'remove'): Promise<string> {
    const action = await restoreInPlace(this.versions as unknown as KeyVersions, at * 1000, later, () =>
      Promise.resolve(null),
    );
    if (action.name === 'undelete') {
      for (const id of action.markers) {
        const marker = this.versions.find(({ versionId }) => versionId === id);
        if (marker?.deleted !== true) throw new Error('a version of content was deleted');
        this.versions = this.versions.filter((version) => version !== marker);
      }
    }
    if (action.name === 'remove') this.happen('delete', 1e6);
    if ('source' in action) {
      const source = this.versions.find(({ versionId }) => versionId === action.source.versionId);
      if (!source || source.deleted) throw new Error('what was copied is not there');
      this.happen({ put: source.etag.slice('etag of '.length) }, 1e6);
    }
    return action.name;
  }
}

const events = fc.array(
  fc.tuple(
    fc.oneof(fc.record({ put: fc.constantFrom('x', 'yy', 'zzz') }), fc.constant('delete' as const)),
    fc.integer({ min: 0, max: 1 }),
  ),
  { minLength: 1, maxLength: 8 },
);

describe('K3: a key back to what it was at an instant', () => {
  test('after any history it has the content of then, twice is as once, and no version is lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        events,
        fc.integer({ min: 0, max: 9 }),
        fc.constantFrom('keep' as const, 'remove' as const),
        async (history, at, later) => {
          const key = new Key();
          let clock = 0;
          let then: string | null = null;
          for (const [event, pause] of history) {
            clock += pause;
            key.happen(event, clock);
            if (clock <= at) then = key.present;
          }
          const [before, now] = [
            key.versions.filter(({ deleted }) => !deleted).map(({ versionId }) => versionId),
            key.present,
          ];
          const did = await key.restore(at, later);
          expect(key.present).toBe(then === null && later === 'keep' ? now : then);
          expect(key.versions.map(({ versionId }) => versionId)).toEqual(expect.arrayContaining(before));
          if (now === then) expect(did).toBe('right');
          expect(['right', 'keep']).toContain(await key.restore(at, later));
        },
      ),
    );
  });

  test('a key under nothing but delete markers is uncovered, not copied', async () => {
    const key = new Key();
    key.happen({ put: 'x' }, 1);
    key.happen('delete', 2);
    key.happen('delete', 3);
    expect(await key.restore(1, 'keep')).toBe('undelete');
    expect(key.versions).toHaveLength(1);
  });

  test('a copy of an upload in parts, whose etag is another one, is known by its mark', async () => {
    const version = (versionId: string, etag: string, at: number, latest: boolean): ObjectVersion => ({
      key: 'a',
      versionId,
      etag,
      latest,
      deleted: false,
      sizeBytes: 9,
      modifiedAt: new Date(at).toISOString(),
    });
    const versions: KeyVersions = [
      version('copy', 'one-1', 30, true),
      version('damaged', 'two', 20, false),
      version('good', 'abc-2', 10, false),
    ];
    await expect(restoreInPlace(versions, 15, 'keep', () => Promise.resolve('good'))).resolves.toMatchObject({
      name: 'right',
    });
    await expect(restoreInPlace(versions, 15, 'keep', () => Promise.resolve('other'))).resolves.toMatchObject({
      name: 'overwrite',
      source: { versionId: 'good' },
    });
  });
});

describe('K3: what nobody can read now', () => {
  const version = (versionId: string, at: number, more: Partial<ObjectVersion> = {}): ObjectVersion => ({
    key: 'a',
    versionId,
    etag: versionId,
    latest: false,
    deleted: false,
    sizeBytes: 9,
    modifiedAt: new Date(at).toISOString(),
    ...more,
  });
  const summary = async (versions: KeyVersions) =>
    (await summarise(from([await restoreInPlace(versions, 15, 'keep', () => Promise.resolve(null))]))).cold;

  test('versions in an archive class are counted: those to be copied apart from those only uncovered', async () => {
    const cold = version('then', 10, { cold: true });
    expect(await summary([version('now', 20), cold])).toEqual({ copied: 1, undeleted: 0, first: 'a' });
    expect(await summary([version('marker', 20, { deleted: true }), cold])).toEqual({
      copied: 0,
      undeleted: 1,
      first: 'a',
    });
    expect(await summary([version('now', 20), version('then', 10)])).toEqual({ copied: 0, undeleted: 0, first: null });
  });

  test('a listing tells it of a class and of a thaw; one under way is none yet', () => {
    const listed = (more: string) => takeVersions(`<Version><Key>a</Key>${more}</Version>`).versions[0]?.cold;
    const thaw = (more: string) => `<StorageClass>DEEP_ARCHIVE</StorageClass><RestoreStatus>${more}</RestoreStatus>`;
    expect(listed('<StorageClass>DEEP_ARCHIVE</StorageClass>')).toBe(true);
    expect(listed(thaw('<IsRestoreInProgress>true</IsRestoreInProgress>'))).toBe(true);
    expect(
      listed(
        thaw(
          '<IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2026-11-22T00:00:00.000Z</RestoreExpiryDate>',
        ),
      ),
    ).toBeUndefined();
    expect(listed('<StorageClass>STANDARD_IA</StorageClass>')).toBeUndefined();
  });

  test('how long old versions are kept is the shortest of the rules that meet the folder', () => {
    const rule = (Prefix: string, NoncurrentDays: number | undefined, Status: 'Enabled' | 'Disabled' = 'Enabled') => ({
      Status,
      Filter: { Prefix },
      ...(NoncurrentDays === undefined ? {} : { NoncurrentVersionExpiration: { NoncurrentDays } }),
    });
    expect(
      fewestOldVersionDays(
        [rule('', 90), rule('photos/', 30), rule('other/', 1), rule('photos/', 2, 'Disabled')],
        'photos/',
      ),
    ).toBe(30);
    // What holds for the whole bucket stays as it is where no rule of ours needs it.
    expect(
      smallObjectsOf({ lifecycle: { noncurrentExpireDays: 9 } } as S3Options, {
        rules: [],
        smallObjects: 'varies_by_storage_class',
      }),
    ).toEqual({ TransitionDefaultMinimumObjectSize: 'varies_by_storage_class' });
    expect(
      smallObjectsOf({ lifecycle: { deepArchiveDays: 9 } } as S3Options, {
        rules: [],
        smallObjects: 'varies_by_storage_class',
      }),
    ).toEqual({ TransitionDefaultMinimumObjectSize: 'all_storage_classes_128K' });
    expect(fewestOldVersionDays([rule('', undefined)], 'photos/')).toBeNull();
  });
});

async function* from<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

describe('listings', () => {
  const sorted = fc
    .uniqueArray(fc.string({ unit: 'grapheme', maxLength: 4 }), { maxLength: 20 })
    .map((keys) => keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));

  test('F35: two listings stand side by side in byte order, whatever the names', async () => {
    await fc.assert(
      fc.asyncProperty(sorted, sorted, async (left, right) => {
        const pairs = await collect(
          sideBySide(from(left.map((key) => ({ key }))), from(right.map((key) => ({ key })))),
        );
        expect(pairs.flatMap((pair) => pair.left?.key ?? [])).toEqual(left);
        expect(pairs.flatMap((pair) => pair.right?.key ?? [])).toEqual(right);
        const both = pairs.filter((pair) => pair.left && pair.right).map((pair) => pair.left?.key);
        expect(both).toEqual(left.filter((key) => right.includes(key)));
      }),
    );
  });

  test('versions of one key come together', async () => {
    const version = (key: string, versionId: string): ObjectVersion => ({
      key,
      versionId,
      etag: '',
      latest: false,
      deleted: false,
      sizeBytes: 0,
      modifiedAt: '',
    });
    const groups = await collect(byKey(from([version('a', '2'), version('a', '1'), version('b', '3')])));
    expect(groups.map((group) => group.map(({ versionId }) => versionId))).toEqual([['2', '1'], ['3']]);
  });

  test('of one second the server says which is newer; one that tells two lists is sorted by time', () => {
    const at = (second: number) => new Date(second * 1000);
    const version = (
      key: string,
      versionId: string,
      second: number,
      latest = false,
      deleted = versionId.startsWith('d'),
    ): ObjectVersion => ({
      key,
      versionId,
      latest,
      deleted,
      modifiedAt: at(second).toISOString(),
      sizeBytes: 0,
      etag: '',
    });
    const ordered = (...versions: readonly ObjectVersion[]) => inOrder(versions).map(({ versionId }) => versionId);
    expect(
      ordered(version('a', 'd2', 1, true), version('a', 'v2', 1), version('a', 'd1', 1), version('a', 'v1', 1)),
    ).toEqual(['d2', 'v2', 'd1', 'v1']);
    expect(ordered(version('a', 'v', 1), version('b', 'w', 1, true), version('a', 'd', 2, true))).toEqual([
      'd',
      'v',
      'w',
    ]);
    // Nothing stands out of order by key where a page has one key only, or only the last key has markers.
    const one = (markedLatest: boolean) =>
      ordered(
        version('a', 'v2', 3, !markedLatest),
        version('a', 'v1', 1),
        version('a', 'd', markedLatest ? 3 : 2, markedLatest),
      );
    expect(one(true)).toEqual(['d', 'v2', 'v1']);
    expect(one(false)).toEqual(['v2', 'd', 'v1']);
  });

  test('versions and markers are taken from an answer as it names them, and the rest is left to the SDK', () => {
    const owner = '<Owner><ID>0</ID><DisplayName>Key</DisplayName></Owner>';
    const answer = `<?xml version="1.0"?>\n<ListVersionsResult xmlns="x"><IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker>
      <DeleteMarker><Key>a&amp;b&#x27;&lt;&#34;</Key><VersionId>d1</VersionId><IsLatest>true</IsLatest><LastModified>2026-11-21T02:15:00Z</LastModified>${owner}</DeleteMarker>
      <Version a="b">${owner}<Key>a&amp;amp;</Key><LastModified>2026-11-21T02:14:00.123Z</LastModified><ETag>&quot;abc-2&quot;</ETag><Size>5</Size></Version><CommonPrefixes/></ListVersionsResult>`;
    const { versions, rest } = takeVersions(answer);
    expect(versions).toEqual([
      {
        key: 'a&b\'<"',
        versionId: 'd1',
        latest: true,
        deleted: true,
        modifiedAt: '2026-11-21T02:15:00.000Z',
        sizeBytes: 0,
        etag: '',
      },
      {
        key: 'a&amp;',
        versionId: 'null',
        latest: false,
        deleted: false,
        modifiedAt: '2026-11-21T02:14:00.123Z',
        sizeBytes: 5,
        etag: 'abc-2',
      },
    ]);
    expect(rest.replaceAll(/\s+/g, ' ')).toBe(
      '<?xml version="1.0"?> <ListVersionsResult xmlns="x"><IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker> <CommonPrefixes/></ListVersionsResult>',
    );
    expect(() => takeVersions('<Version><s3:Key>a</s3:Key></Version>')).toThrow(
      expect.objectContaining({ code: 'storage-refused' }),
    );
  });

  test('an answer that breaks off is a failure to try again, and a control character in a key is read', () => {
    expect(() => takeVersions('<ListVersionsResult><Version><Key>a</Key>')).toThrow(
      expect.objectContaining({ code: 'storage-unreachable' }),
    );
    expect(takeVersions('<?xml version="1.0"?><Version><Key>a&#x1;b</Key></Version>').versions[0]?.key).toBe(
      'a\u0001b',
    );
  });

  test('F35: keys are read as they were written', () => {
    expect(decodeKey('a+b%2B%C3%A9%0A', 'url')).toBe('a b+é\n');
    expect(decodeKey('a+b%2B', undefined)).toBe('a+b%2B');
  });
});
