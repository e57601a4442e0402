import { describe, expect, test } from '@jest/globals';
import { placesOf } from '../../../src/activities/media/places.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { MediaConfig } from '../../../src/domain/config.js';

const media = (name: string, repository: string, cluster = 'mairie', folder = ''): MediaConfig => ({
  name,
  repository,
  folder,
  cluster,
  concurrency: 1,
  singleCopyBytes: 1,
});
const entries = [media('photos', 'bucket'), media('copy', 'mirror'), media('theirs', 'shared', 'voirie', 'theirs/')];
const names = ['bucket', 'mirror', 'shared', 'free'];
const session = {
  cluster: { name: 'mairie' },
  deps: {
    config: {
      clusters: {},
      media: Object.fromEntries(entries.map((entry) => [entry.name, entry])),
      repositories: Object.fromEntries(names.map((name) => [name, { name }])),
    },
  },
} as unknown as ClusterContext;
const into = (name: string) =>
  placesOf(session, entries[0]!, { kind: 'sync', into: name, delete: true, maxDelete: 1 }).into;

describe('F32: where media may be put', () => {
  test('an entry of the same cluster, or a repository of its own', () => {
    expect(into('copy')).toEqual({ repository: 'mirror', folder: '' });
    expect(into('free')).toEqual({ repository: 'free', folder: '' });
  });

  test('never the media of another cluster, whose approvals and lock are others, nor a repository that media live in', () => {
    expect(() => into('theirs')).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringContaining('voirie') }),
    );
    expect(() => into('shared')).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringContaining('theirs') }),
    );
    expect(() => into('mirror')).toThrow(expect.objectContaining({ code: 'conflict' }));
  });
});
