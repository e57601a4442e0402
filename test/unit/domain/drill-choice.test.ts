import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ClusterConfig, Config } from '../../../src/domain/config.js';
import type { PlannedRestore } from '../../../src/domain/drill/drill.js';
import { drilledPolicies } from '../../../src/domain/drill/drilled-policies.js';
import { notTestedBy } from '../../../src/domain/drill/not-tested.js';
import { fractionOf, instantIn } from '../../../src/domain/drill/random-instant.js';

const policy = (name: string, engine: string, more: object = {}) => ({
  name,
  engine,
  enabled: true,
  repository: 's3',
  ...more,
});
const cluster = {
  name: 'mairie',
  host: 'db1',
  databases: ['mairie', 'agenda'],
  policies: {
    dump: policy('dump', 'logical'),
    physical: policy('physical', 'pgbackrest'),
    old: policy('old', 'logical', { enabled: false }),
    near: policy('near', 'logical', { repository: 'local' }),
  },
} as unknown as ClusterConfig;
const config = {
  media: { photos: { name: 'photos', cluster: 'mairie' }, others: { name: 'others', cluster: 'other' } },
  repositories: { s3: { name: 's3' }, local: { name: 'local', host: 'db1' } },
} as unknown as Config;
const restore = (name: string, method: PlannedRestore['method'], databases: readonly string[] = []) =>
  ({
    policy: name,
    method,
    chosen: 'latest',
    backups: databases.map((database) => ({ database })),
  }) as unknown as PlannedRestore;

describe('P4: what a drill chooses follows from its seed', () => {
  it('an instant is inside its window, and the same for the same hash', () => {
    const instant = fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2030, 0) });
    fc.assert(
      fc.property(
        instant,
        fc.integer({ min: 1, max: 10 ** 9 }),
        fc.stringMatching(/^[0-9a-f]{64}$/),
        (from, length, hash) => {
          const window = { from: new Date(from).toISOString(), to: new Date(from + length).toISOString() };
          const chosen = instantIn(window, fractionOf(hash));
          expect(chosen >= window.from && chosen <= window.to).toBe(true);
          expect(instantIn(window, fractionOf(hash))).toBe(chosen);
        },
      ),
    );
    expect(fractionOf('0'.repeat(64))).toBe(0);
    expect(fractionOf('f'.repeat(64))).toBeLessThan(1);
  });

  it('policies come in the order of the engines that are named, each once, without those that are disabled', () => {
    const names = (engines: readonly string[]) => drilledPolicies(cluster, engines).map(({ name }) => name);
    expect(names([])).toEqual(['dump', 'physical', 'near']);
    expect(names(['pgbackrest', 'logical'])).toEqual(['physical', 'dump', 'near']);
    expect(names(['near', 'logical', 'old'])).toEqual(['near', 'dump']);
  });
});

describe('P4: a drill says what it leaves out', () => {
  const recorded = (restores: readonly PlannedRestore[]) =>
    restores.flatMap((one) =>
      one.backups.map(({ id }) => ({ id, objects: { roles: [], tablespaces: [], databases: [] } })),
    );
  const left = (
    restores: readonly PlannedRestore[],
    host = 'staging1',
    backups: Parameters<typeof notTestedBy>[4] = recorded(restores),
  ) =>
    notTestedBy(config, cluster, host, { restores, unrestorable: [] }, backups).map(
      ({ kind, name, reason }) => `${kind} ${name}: ${reason}`,
    );

  it('policies, databases, tablespaces, hosts, media, and the comparison of engines', () => {
    expect(left([restore('dump', 'databases', ['mairie'])])).toEqual([
      'policy physical: it is not among the engines of this drill',
      'policy old: the policy is disabled',
      'policy near: its repository local is a directory of host db1, which staging1 cannot read',
      'database agenda: there is no dump of it that could be restored',
      'database others of the cluster: dumps are of the databases that the configuration names',
      'tablespace all of dumps: what was in a tablespace is restored to pg_default',
      'host db1: mairie was restored on staging1: the disks of db1 were not',
      'media photos: a drill restores no media',
      'check comparison of two engines: it needs two engines that keep WAL',
    ]);
  });

  it('F28: what could reach other servers is named: a server that replays WAL, and all of them where the host isolates none', () => {
    const both = [restore('dump', 'databases', ['mairie']), restore('physical', 'data-directory')];
    const said = (isolates: boolean, restores = both) =>
      notTestedBy(config, cluster, 'db1', { restores, unrestorable: [] }, [], isolates).find(({ name }) =>
        name.startsWith('no outgoing'),
      );
    expect(said(true)).toMatchObject({ kind: 'check', name: 'no outgoing connections: physical' });
    expect(said(true, both.slice(0, 1))).toBeUndefined();
    expect(said(false)).toMatchObject({
      name: 'no outgoing connections: dump, physical',
      reason: expect.stringContaining('unshare --net'),
    });
  });

  it('V3: roles, large objects and definitions, where a backup of an older version has no record of them', () => {
    const one = restore('dump', 'databases', ['mairie']);
    const label = one.backups[0]?.label;
    expect(left([one], 'db1', [])).toContain(
      `check objects of ${label}: roles, tablespaces, extensions, large objects and definitions were not recorded with this backup: there is nothing to compare them with`,
    );
    expect(left([one], 'db1').filter((line) => line.includes('objects of'))).toEqual([]);
  });

  it('a physical restore holds every database; on the own host nothing is said of it', () => {
    const said = left([restore('physical', 'data-directory')], 'db1');
    expect(said.filter((line) => /^(database|host)/.test(line))).toEqual([]);
    expect(said).toContain(
      'tablespace all of physical backups: tablespaces are restored below one directory, not on disks of their own',
    );
  });
});
