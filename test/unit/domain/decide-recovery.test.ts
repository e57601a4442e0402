import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { otherClusterOf } from '../../../src/domain/backup/other-cluster.js';
import type { ClusterConfig, Config } from '../../../src/domain/config.js';
import type { ErrorCode } from '../../../src/domain/errors.js';
import {
  ablePolicies,
  allowsRestart,
  candidateBackups,
  namedBackup,
  passedOver,
  requireBeside,
  restartSource,
} from '../../../src/domain/plan/choose-source.js';
import type { ObservedLayout } from '../../../src/domain/plan/layout.js';
import { planText } from '../../../src/domain/plan/plan-text.js';
import { decideRecovery } from '../../../src/domain/plan/decide-recovery.js';
import { type PlanningRequest, planTerms } from '../../../src/domain/plan/plan-terms.js';
import type { MeasuredRestore } from '../../../src/domain/plan/predict-duration.js';
import type {
  ObservedDisk,
  RecoveryObservations,
  RecoverySource,
} from '../../../src/domain/plan/recovery-observations.js';
import type { Topology } from '../../../src/domain/plan/topology.js';
import { backupFacts } from '../records/samples.js';

const at = '2026-11-21T02:15:10.000Z';
const dataDir = '/var/lib/postgresql/15/main';
const approval = {
  approvers: 2,
  from: ['dba', 'ops', 'maire'],
  requesterMayApprove: false,
  approveWithinSeconds: 600,
  executeWithinSeconds: 600,
  signatures: 'none',
};
const backup = (label: string, more: Partial<Backup> = {}): Backup => ({
  ...backupFacts(label),
  proven: null,
  heldUntil: null,
  status: 'complete',
  ...more,
});
const physical = backup('20261120-021503F', { policy: 'physical', engine: 'pgbackrest', sha256: 'a'.repeat(64) });
const dump = backup('mairie', { database: 'mairie', startedAt: '2026-11-20T01:30:00Z' });

const clusterOf = (more: Record<string, unknown> = {}) =>
  ({
    name: 'mairie',
    host: 'db1',
    dataDir,
    connection: { host: 'db1.example', port: 5432, user: 'x', maintenanceDatabase: 'postgres' },
    catalogue: 'local',
    approvals: { recover: approval },
    hooks: {},
    recovery: {
      oldData: { mode: 'aside' },
      steps: ['stop-applications', 'safety-backup', 'restore'],
      targets: {
        beside: { name: 'beside', host: 'db1', dataDir: '/srv/beside', port: 5434 },
        elsewhere: { name: 'elsewhere', host: 'db2', dataDir: '/srv/main', port: 5432 },
      },
    },
    ...more,
  }) as unknown as ClusterConfig;
const configOf = (owner?: string) =>
  ({ digest: 'b'.repeat(64), repositories: { local: { name: 'local', host: owner } } }) as unknown as Config;
const nothing: Topology = {
  ...{ standbys: [], physicalSlots: [], logicalSlots: [], subscriptions: [], tablespaces: [], schedulers: [] },
  ...{ patroni: false, isStandby: false },
};
const physicalSource: RecoverySource = {
  method: 'data-directory',
  content: { [physical.id]: { manifest: 'a'.repeat(64) } },
  policy: { name: 'physical', engine: 'pgbackrest', overwrites: false },
  outline: {
    ...{ backups: [physical], target: { kind: 'latest' }, timeline: 3, systemIdentifier: '74' },
    ...{ sizeBytes: 8e9, neededBytes: 9e9, reachableFrom: null, reachableTo: '2026-11-21T02:15:00Z' },
    ...{ walEnd: '0/5A000148', salvageableSegments: 1, warnings: ['from the engine'] },
  },
};
const dumpSource: RecoverySource = {
  method: 'databases',
  content: { [dump.id]: { manifest: 'b'.repeat(64) } },
  policy: { name: 'dumps', engine: 'logical', overwrites: false },
  outline: { ...physicalSource.outline, backups: [dump], timeline: null, walEnd: null, warnings: [] },
};
const free: ObservedDisk = { freeBytes: 79e9 };
/** A restore of that size on this host. */
const measured: MeasuredRestore = {
  ...{ id: 'x', engine: 'pgbackrest', method: 'data-directory', at: '2026-11-01T00:00:00Z' },
  ...{ sizeBytes: 8e9, walBytes: null, restoreSeconds: 60, replaySeconds: 20, otherSeconds: 10 },
};
const seenOf = (more: Partial<RecoveryObservations> = {}): RecoveryObservations => ({
  ...{ at, source: physicalSource, dataDirExists: true, topology: nothing, replacesRunningServer: false },
  ...{ processes: [], targetServer: null, oldDataDir: dataDir, missingConfiguration: [], media: null, disk: free },
  coldFiles: { files: [], defaults: { tier: 'Standard', days: 7 }, notSeen: null },
  ...more,
});

interface Case {
  readonly order?: Partial<PlanningRequest['order']>;
  readonly request?: Partial<PlanningRequest>;
  readonly cluster?: Record<string, unknown>;
  readonly host?: string;
  readonly catalogueHost?: string;
  readonly seen?: Partial<RecoveryObservations>;
}

const decide = ({ order, request, cluster, host = 'db1', catalogueHost, seen }: Case = {}) => {
  const asked: PlanningRequest = {
    operationId: '20261121t021500-7f3a',
    requester: 'dba',
    order: { target: { kind: 'latest' }, into: 'in-place', pause: false, ...order },
    ...request,
  };
  const config = clusterOf(cluster);
  return decideRecovery(planTerms(configOf(catalogueHost), host, config, asked.order.into), asked, seenOf(seen));
};
const recovery = (more: Record<string, unknown>) => ({ recovery: { ...clusterOf().recovery, ...more } });
const overwriting = {
  cluster: recovery({ oldData: { mode: 'overwrite-delta' } }),
  source: { ...physicalSource, policy: { name: 'physical', engine: 'pgbackrest', overwrites: true } },
};
const copying = recovery({ oldData: { mode: 'aside-on', path: '/mnt/spare' } });
const copyTo = { path: '/mnt/spare', freeBytes: 50e9, writable: true, user: 'postgres', sameFileSystem: false };
const cold = (notSeen: string | null = null) => ({
  files: notSeen === null ? [{ storageClass: 'DEEP_ARCHIVE', sizeBytes: 2 ** 30 }] : [],
  defaults: { tier: 'Standard', days: 5 } as const,
  prices: { currency: 'EUR', perGbMonth: {}, thawPerGb: { DEEP_ARCHIVE: { Standard: 0.02, Bulk: 0.01 } } },
  notSeen,
});
const atOne = { target: { kind: 'time', time: '2026-11-21T01:00:00Z' } } as const;
const timed: RecoverySource = { ...physicalSource, outline: { ...physicalSource.outline, ...atOne } };
const counts = { objects: 1, bytes: 10 };
const media = {
  digest: 'd',
  binding: { counts: { undelete: counts, overwrite: counts, copy: counts, remove: counts } },
  observed: { warnings: ['versions are suspended'] },
} as unknown as RecoveryObservations['media'];

describe('what a recovery plan decides', () => {
  it('W3, W4, W6: binds what was asked and where the replay stops for it; names the history, the last commit, and what another recovery left', () => {
    const lsn = { kind: 'lsn', lsn: '0/5000028' } as const;
    const history = {
      newest: 4,
      path: [
        { timeline: 1, until: '0/4000100' },
        { timeline: 3, until: null },
      ],
    };
    const lastCommitAt = '2026-11-21T00:59:58.120411Z';
    const { outline } = physicalSource;
    const source = { ...physicalSource, outline: { ...outline, target: lsn, history, lastCommitAt } };
    const file = '/etc/postgresql/15/main/postgresql.conf';
    const made = decide({
      order: atOne,
      seen: { source, leftoverTargets: [{ file, name: 'recovery_target_xid', value: '740' }] },
    });
    expect(made.binding).toMatchObject({ ...atOne, stopsAt: lsn });
    expect(made.observed.warnings).toContainEqual(expect.stringContaining(`${file} sets recovery_target_xid = '740'`));
    const text = planText({ ...made, digest: 'd'.repeat(64) });
    expect(text).toMatch(/target +2026-11-21T01:00:00Z/);
    expect(text).toMatch(/replay stops at +lsn:0\/5000028/);
    expect(text).toMatch(/last commit +2026-11-21T00:59:58.120411Z/);
    expect(text).toMatch(/timeline +3, which a recovery has left; the newest is 4; it leaves timeline 1 at 0\/4000100/);
    expect(decide({ order: atOne, seen: { source: timed } }).binding.stopsAt).toBeUndefined();
  });

  it('in place, physical: old data is renamed, the safety backup belongs to dumps, two others approve', () => {
    expect(decide()).toMatchObject({
      createdAt: at,
      approveBy: '2026-11-21T02:25:10.000Z',
      binding: {
        method: 'data-directory',
        timeline: 3,
        replaces: [{ what: dataDir, keptAs: `${dataDir}.aside-20261121t021500-7f3a` }],
        steps: ['stop-applications', 'restore'],
        hooks: [],
        backups: [{ hash: 'a'.repeat(64) }],
      },
      observed: {
        predictedRtoSeconds: null,
        predictedRpoSeconds: 10,
        stateAt: '2026-11-21T02:15:00Z',
        freeBytes: 79e9,
        approval: { approvers: 2, from: ['ops', 'maire'] },
        warnings: ['from the engine'],
      },
    });
  });

  it('P4: how long it takes is predicted from what was measured here, with a range, and never without; it is not approved', () => {
    const unknown = decide();
    expect(unknown.observed).not.toHaveProperty('predictedRto');
    const shown = (plan: typeof unknown) => planText({ digest: 'd'.repeat(64), ...plan });
    expect(shown(unknown)).toContain('takes about    not known: no restore was measured on this host with this engine');
    const known = decide({ seen: { measured: [measured] } });
    expect(known.observed).toMatchObject({
      ...{ predictedRtoSeconds: 90, predictedRto: { p50: 90, p90: 135, samples: 1 } },
    });
    expect(shown(known)).toContain(
      'takes about    1 min 30 s, at most 2 min 15 s in nine of ten cases (1 restore measured)',
    );
    expect(known.binding).toEqual(unknown.binding);
  });

  it('the same observations make the same plan, and no others were looked at', () => {
    const frozen = Object.freeze(seenOf());
    expect(decide({ seen: frozen })).toEqual(decide({ seen: frozen }));
  });

  it('a restart replaces nothing and loses nothing', () => {
    const source = restartSource({ reason: 'all is there', systemIdentifier: '74' });
    const { binding, observed } = decide({ seen: { source, topology: null, oldDataDir: null, coldFiles: null } });
    expect(binding).toMatchObject({ method: 'restart', policy: 'none', engine: 'none', replaces: [], backups: [] });
    expect(observed).toMatchObject({ predictedRpoSeconds: 0, predictedRtoSeconds: null, neededBytes: 0 });
    expect(observed.stateAt).toBeUndefined();
    expect(observed.warnings).toEqual([expect.stringContaining('all is there')]);
  });

  it('dumps: databases are replaced one by one, hooks run in place only, and the oldest dump says what is lost', () => {
    const archives = { ...dump, id: 'a', database: 'archives', startedAt: '2026-11-20T01:00:00Z' };
    const source = {
      ...dumpSource,
      content: { ...dumpSource.content, a: { manifest: 'c'.repeat(64) } },
      outline: { ...dumpSource.outline, backups: [dump, archives] },
    };
    const cluster = { hooks: { 'stop-applications': { name: 'stop-applications' } } };
    const given = { cluster, seen: { source, targetServer: { ok: true }, topology: null, disk: null } } as const;
    const { binding, observed } = decide(given);
    expect(binding).toMatchObject({
      dataDir: null,
      replaces: [{ what: 'database mairie' }, { what: 'database archives' }],
      steps: ['stop-applications', 'safety-backup', 'restore'],
      hooks: ['stop-applications'],
    });
    expect(observed).toMatchObject({ freeBytes: null, stateAt: '2026-11-20T01:00:00Z', predictedRpoSeconds: 90910 });
    expect(decide({ ...given, order: { into: 'beside' } }).binding.hooks).toEqual([]);
  });

  it('G1: the plan binds what its backups consist of; one of which that is not known is refused', () => {
    const [bound] = decide({}).binding.backups;
    expect(bound?.content).toEqual({ manifest: 'a'.repeat(64) });
    for (const content of [{}, { [physical.id]: {} }])
      expect(() => decide({ seen: { source: { ...physicalSource, content } } })).toThrow(/nothing says which content/);
  });

  it('G2, F55: a plan that would restore two databases under one name is refused', () => {
    const content = { ...dumpSource.content, other: { manifest: 'd'.repeat(64) } };
    const backups = [dump, { ...dump, id: 'other' }];
    const source = { ...dumpSource, content, outline: { ...dumpSource.outline, backups } };
    expect(() => decide({ seen: { source, targetServer: { ok: true }, topology: null, disk: null } })).toThrow(
      /would give the name "mairie" to two databases/,
    );
  });

  it('F1: beside, what is in the directory is renamed, also where the cluster overwrites its own old data', () => {
    const seen = { source: overwriting.source, topology: null, oldDataDir: null };
    expect(decide({ order: { into: 'beside' }, cluster: overwriting.cluster, seen }).binding).toMatchObject({
      into: 'beside',
      port: 5434,
      replaces: [{ what: '/srv/beside', keptAs: '/srv/beside.aside-20261121t021500-7f3a' }],
    });
    expect(decide({ order: { into: 'beside' }, seen: { ...seen, dataDirExists: false } }).binding.replaces).toEqual([]);
  });

  it('old data: copied to another file system, which frees its own room; or overwritten, after its WAL was saved', () => {
    const oldData = { usedBytes: 40e9, walBytes: 1e9 };
    const copied = decide({ cluster: copying, seen: { disk: { freeBytes: 1e9, oldData, copyTo } } });
    expect(copied.binding.replaces).toEqual([
      { what: dataDir, keptAs: '/mnt/spare/main.aside-20261121t021500-7f3a', copied: true },
    ]);
    expect(copied.observed).toMatchObject({ neededBytes: 9e9, freeBytes: 41e9 });
    const same = { freeBytes: 41e9, oldData, copyTo: { ...copyTo, sameFileSystem: true } };
    expect(decide({ cluster: copying, seen: { disk: same } }).observed.freeBytes).toBe(41e9);
    const lost = decide({
      cluster: overwriting.cluster,
      seen: { source: overwriting.source, disk: { freeBytes: 1e9, oldData } },
    });
    expect(lost.binding.replaces).toEqual([{ what: dataDir, keptAs: null }]);
    expect(lost.observed).toMatchObject({ neededBytes: 10e9, freeBytes: 41e9 });
  });

  describe('W8, F50: the layout of the data directory', () => {
    const part = { isInside: false, state: 'usable', isEmpty: false, freeBytes: 30e9, usedBytes: 2e9 } as const;
    const layout: ObservedLayout = {
      ...{ dataDir: '/mnt/data/main', isLink: true, isMountPoint: false, mountsBelow: [], parent: 'usable', device: 1 },
      wal: { ...part, path: '/mnt/wal/main', device: 2, hasRoomBeside: true },
      tablespaces: [{ ...part, oid: '16400', path: '/mnt/fast', device: 3 }],
      otherLinks: [],
    };
    const source = {
      ...physicalSource,
      outline: { ...physicalSource.outline, walBytes: 1e9, replayBytes: 10e9, tablespaces: ['16400', '16500'] },
    };
    const decided = (change: Partial<ObservedLayout> = {}, more: Partial<Case> = {}) =>
      decide({ ...more, seen: { source, layout: { ...layout, ...change }, ...more.seen } });

    it('is kept: links stay, old parts stay on their disks and are kept with the old data, and what moves is said', () => {
      const { binding, observed } = decided();
      const own = '.aside-20261121t021500-7f3a';
      expect(binding.layout).toEqual({
        dataDir: '/mnt/data/main',
        wal: { path: '/mnt/wal/main', keptAs: `/mnt/wal/main${own}` },
        tablespaces: [
          { oid: '16400', path: '/mnt/fast', keptAs: `/mnt/fast/${own}`, restored: true },
          { oid: '16500', path: '/mnt/data/main.tablespaces-20261121t021500-7f3a/16500', restored: true },
        ],
      });
      expect(binding.replaces).toEqual([
        {
          what: dataDir,
          keptAs: '/mnt/data/main.aside-20261121t021500-7f3a',
          parts: [`/mnt/wal/main${own}`, `/mnt/fast/${own}`],
        },
      ]);
      const text = planText({ digest: 'd'.repeat(64), binding, observed, createdAt: at, approveBy: at });
      expect(text).toContain(`${dataDir} is a symbolic link, to /mnt/data/main`);
      expect(text).toContain(`pg_wal is a symbolic link, to /mnt/wal/main; the old WAL is kept as /mnt/wal/main${own}`);
      expect(text).toContain('tablespace 16500 is restored to /mnt/data/main.tablespaces-');
    });

    it('a plain directory has none in its plan', () => {
      const plain = { dataDir, isLink: false, wal: null, tablespaces: [] };
      const { binding } = decided(plain, { seen: { source: physicalSource } });
      expect(binding).not.toHaveProperty('layout.dataDir');
      expect(binding.layout).toBeUndefined();
    });

    it('free space is looked at on each disk, and growth by replay is counted', () => {
      const { observed } = decided({}, { seen: { disk: { freeBytes: 79e9, presentBytes: 12e9 } } });
      // 8 of the backup, 4 of growth; WAL and tablespace are elsewhere.
      expect(observed).toMatchObject({ neededBytes: 8e9 + 1e9 + 4e9 - 1e9 - 2e9, freeBytes: 79e9 });
      expect(observed.disks).toEqual([
        { path: '/mnt/wal/main', neededBytes: 1e9, freeBytes: 30e9 },
        { path: '/mnt/fast', neededBytes: 2e9, freeBytes: 30e9 },
      ]);
      const full = { ...layout.wal!, freeBytes: 1e9 - 1 };
      expect(() => decided({ wal: full })).toThrow(expect.objectContaining({ code: 'disk-full' }));
      expect(() => decided({}, { seen: { disk: { freeBytes: 9e9, presentBytes: 12e9 } } })).toThrow(
        expect.objectContaining({ code: 'disk-full' }),
      );
      expect(decided({}, { seen: { disk: { freeBytes: 9e9 } } }).observed.warnings).toContainEqual(
        expect.stringContaining('10.0 GB of WAL are replayed, and the database may grow by as much'),
      );
    });

    const missing = { ...layout.wal!, state: 'missing' } as const;
    it.each<[string, Partial<ObservedLayout>, RegExp]>([
      ['a mount point', { isMountPoint: true }, /is a mount point, which cannot be renamed/],
      ['a file system below it', { mountsBelow: ['/mnt/data/main/pg_wal'] }, /mounted on \/mnt\/data\/main\/pg_wal/],
      ['no directory above it', { parent: 'missing' }, /no directory \/mnt\/data to restore into/],
      ['one above it that cannot be written', { parent: 'not-writable' }, /may not write in \/mnt\/data/],
      ['a WAL disk that is not there', { wal: missing }, /pg_wal leads to \/mnt\/wal\/main, which is not there/],
      ['a pg_wal that is a mount point', { wal: { ...layout.wal!, hasRoomBeside: false } }, /cannot be kept beside it/],
      ['a pg_wal that leads inside', { wal: { ...missing, isInside: true } }, /inside the data directory/],
      [
        'a tablespace whose disk is not mounted',
        { tablespaces: [{ ...part, oid: '16400', path: '/mnt/fast', device: 3, state: 'not-writable' }] },
        /tablespace 16400 leads to \/mnt\/fast, where/,
      ],
    ])('%s is refused before anything stops', (_, change, message) => {
      expect(() => decided(change)).toThrow(message);
    });

    it('a copy that would replay the creation of a tablespace of the living cluster is refused; to the end of a backup it is not', () => {
      const beside = (change: object) => {
        const outline = { ...source.outline, ...change };
        const live = [{ oid: '16600', path: '/mnt/new' }];
        const seen = { source: { ...source, outline }, topology: null, oldDataDir: null, liveTablespaces: live };
        return decide({ order: { into: 'beside' }, seen });
      };
      expect(() => beside({})).toThrow(/tablespace 16600 in \/mnt\/new was created after backup/);
      expect(beside({ replayBytes: 0 }).binding.into).toBe('beside');
      expect(beside({ tablespaces: ['16600'] }).binding.into).toBe('beside');
    });

    it('of a copy nothing outside is touched but what its own recovery made', () => {
      const own = '/srv/beside.tablespaces-op1';
      const tablespaces = [
        { ...part, oid: '16400', path: `${own}/16400`, device: 1 },
        { ...part, oid: '16401', path: '/mnt/fast', device: 3 },
      ];
      const { binding } = decided(
        { dataDir: '/srv/beside', isLink: false, tablespaces },
        { order: { into: 'beside' }, seen: { topology: null, oldDataDir: null } },
      );
      expect(binding.replaces).toMatchObject([{ parts: [own] }]);
      expect(binding.layout).toEqual({
        tablespaces: ['16400', '16500'].map((oid) => ({
          ...{ oid, path: `/srv/beside.tablespaces-20261121t021500-7f3a/${oid}`, restored: true },
        })),
      });
    });
  });

  it('W2: the plan says where the archive_command changes, and nothing where it comes back', () => {
    const warned = (command: string) =>
      decide({ seen: { archiving: { command, library: '' }, ownArchiveCommand: 'push --token=s3cret %p' } }).observed
        .warnings;
    expect(warned('')).toContainEqual(
      'the archive_command changes: it is empty now, and is set to `push --token=*** %p`',
    );
    expect(warned('wrapper %p').join()).not.toContain('archive_command');
    const archiving = { command: 'wrapper %p', library: '' };
    const unfit = decide({ seen: { archiving, archivingIsUnfit: true, ownArchiveCommand: 'push %p' } });
    expect(unfit.observed.warnings).toContainEqual(
      'the archive_command changes from `wrapper %p`, with which pgbackrest takes no backup, to `push %p`',
    );
  });

  it('W13: a new, empty cluster is put aside even where old data is overwritten, and the plan says what it is', () => {
    const source = {
      ...overwriting.source,
      outline: { ...overwriting.source.outline, freshCluster: '7442345678901234567' },
    };
    const { binding, observed } = decide({ cluster: overwriting.cluster, seen: { source } });
    expect(binding.freshCluster).toBe('7442345678901234567');
    expect(binding.replaces).toMatchObject([{ keptAs: expect.stringContaining('.aside-') }]);
    expect(observed.warnings).toContainEqual(
      expect.stringMatching(/new, empty cluster \(made 2024-\d\d-\d\dT.*put aside/),
    );
  });

  it('WAL of an earlier recovery, files to put back, and the file of the engine are part of what is approved', () => {
    const seen = { oldDataDir: '/srv/old', missingConfiguration: ['/etc/x.conf'], engineConfigDigest: 'f' };
    const { binding, observed } = decide({ seen });
    expect(binding).toMatchObject({ salvageFrom: '/srv/old', putsBack: ['/etc/x.conf'], engineConfigDigest: 'f' });
    expect(observed.warnings).toContainEqual(expect.stringContaining('/srv/old'));
  });

  it('F13: cold files: the tier asked for or that of the repository, its hours and its price; approved once, it stays', () => {
    const { binding, observed } = decide({ seen: { coldFiles: cold(), measured: [measured] } });
    expect(binding.thaw).toEqual({ tier: 'Standard', days: 5 });
    expect(observed.predictedRtoSeconds).toBe(90 + 12 * 3600);
    expect(observed.thaw).toMatchObject({
      objects: 1,
      choices: [
        { tier: 'Standard', hours: 12, price: 0.02 },
        { tier: 'Bulk', hours: 48, price: 0.01 },
      ],
      currency: 'EUR',
    });
    expect(decide({ order: { thawTier: 'Bulk' }, seen: { coldFiles: cold() } }).binding.thaw?.tier).toBe('Bulk');
    const approvedThaw = { tier: 'Bulk', days: 9 } as const;
    expect(decide({ request: { approvedThaw } }).binding.thaw).toEqual(approvedThaw);
    expect(decide({ request: { approvedThaw } }).observed.thaw).toBeUndefined();
  });

  it('K1: media go to the instant of the database, in the form that their own plan takes', () => {
    const order = { withMedia: 'photos', target: { kind: 'time', time: '2026-11-21T01:00:00+01:00' } } as const;
    const source = { ...timed, outline: { ...timed.outline, target: order.target } };
    const { binding, observed } = decide({ order, seen: { source, media } });
    const { undelete, overwrite, copy } = { undelete: counts, overwrite: counts, copy: counts };
    expect(binding.media).toEqual({
      ...{ name: 'photos', instant: '2026-11-21T00:00:00.000Z', digest: 'd' },
      counts: { undelete, overwrite, copy },
    });
    expect(observed.warnings).toContain('media photos: versions are suspended');
  });

  it.each<[string, Case, string]>([
    ['another configuration', { request: { controlDigest: 'c'.repeat(64) } }, 'another configuration (cccccccccccc)'],
    ['a server that answers', { seen: { replacesRunningServer: true } }, 'the server is running'],
    ['cold files that cannot be seen', { seen: { coldFiles: cold('access denied') } }, 'access denied'],
    [
      'another host, its own without a worker',
      { host: 'db2', order: { into: 'elsewhere' }, request: { sourceAnswers: false }, seen: { oldDataDir: null } },
      'the worker of host db1 is not running: WAL of mairie',
    ],
    [
      'a mounted catalogue',
      { host: 'db2', catalogueHost: 'db1', order: { into: 'elsewhere' }, seen: { oldDataDir: null } },
      'repository local is a directory of host db1',
    ],
  ])('warns of %s', (_, given, text) => {
    expect(decide(given).observed.warnings).toContainEqual(expect.stringContaining(text));
  });

  it('dumps onto another host lose no WAL, because they need none', () => {
    const seen = { source: dumpSource, targetServer: { ok: true }, topology: null, disk: null } as const;
    expect(decide({ host: 'db2', order: { into: 'elsewhere' }, seen }).observed.warnings).toEqual([
      expect.stringContaining('was not verified, and never restored'),
    ]);
  });
});

describe('what a recovery plan refuses', () => {
  const answersNot = { ok: false, layer: 'port', reason: 'refused' } as const;
  it.each<[ErrorCode, string, Case]>([
    ['policy-missing', 'nobody may approve', { cluster: { approvals: {} } }],
    ['not-found', 'a place that is not configured', { order: { into: 'nowhere' } }],
    ['config-invalid', 'a place on another host', { order: { into: 'elsewhere' } }],
    ['config-invalid', 'a cluster without a data directory', { cluster: { dataDir: undefined } }],
    ['topology-refused', 'a standby', { seen: { topology: { ...nothing, standbys: ['replica'] } } }],
    ['topology-refused', 'a subscriber', { seen: { topology: { ...nothing, logicalSlots: ['sub'] } } }],
    ['topology-refused', 'a standby itself', { seen: { topology: { ...nothing, isStandby: true } } }],
    ['topology-refused', 'Patroni', { seen: { topology: { ...nothing, patroni: true } } }],
    ['conflict', 'a server in the directory of the copy', { order: { into: 'beside' }, seen: { processes: [7, 8] } }],
    ['database-unreachable', 'no server for dumps', { seen: { source: dumpSource, targetServer: answersNot } }],
    ['usage', 'a tier that the class lacks', { order: { thawTier: 'Expedited' }, seen: { coldFiles: cold() } }],
    ['capability-missing', 'an engine that cannot overwrite', { cluster: overwriting.cluster }],
    ['disk-full', 'too little room', { seen: { disk: { freeBytes: 9e9 - 1 } } }],
    [
      'disk-full',
      'too little room for the copy of old data',
      { cluster: copying, seen: { disk: { ...free, oldData: { usedBytes: 51e9, walBytes: 0 }, copyTo } } },
    ],
    [
      'path-refused',
      'old data cannot be copied to its path',
      {
        cluster: copying,
        seen: { disk: { ...free, oldData: { usedBytes: 1, walBytes: 0 }, copyTo: { ...copyTo, writable: false } } },
      },
    ],
    ['conflict', 'media beside', { order: { ...atOne, withMedia: 'photos', into: 'beside' }, seen: { source: timed } }],
    ['target-invalid', 'media to the latest state', { order: { withMedia: 'photos' } }],
    [
      'policy-missing',
      'media that others guard',
      {
        order: { ...atOne, withMedia: 'photos' },
        cluster: { approvals: { recover: approval, 'media-recover': { ...approval, from: ['archivist'] } } },
        seen: { source: timed },
      },
    ],
  ])('%s: %s', (code, _, given) => {
    expect(() => decide(given)).toThrow(expect.objectContaining({ code, hint: expect.any(String) }));
  });

  it('a disk that is just large enough is not refused', () => {
    expect(decide({ seen: { disk: { freeBytes: 9e9 } } }).observed.freeBytes).toBe(9e9);
  });
});

describe('what a recovery starts from', () => {
  const order: PlanningRequest['order'] = { target: { kind: 'latest' }, into: 'in-place', pause: false };
  const policy = (name: string, archivesWal: boolean, targets: readonly string[]) =>
    ({
      policy: { name, cluster: 'mairie', engine: name },
      capabilities: { method: 'databases', archivesWal, targets },
    }) as never;

  it('a restart is offered for a plain order only', () => {
    expect(allowsRestart(order)).toBe(true);
    const others = [{ pause: true }, { policy: 'physical' }, { database: 'mairie' }, { into: 'beside' }, atOne];
    for (const more of others) expect(allowsRestart({ ...order, ...more })).toBe(false);
  });

  it('policies that replay WAL come first, and those that cannot reach the target not at all', () => {
    const policies = [
      policy('dumps', false, ['latest']),
      policy('old', false, ['xid']),
      policy('wal', true, ['latest']),
    ];
    expect(ablePolicies(policies, order).map((one) => one.policy.name)).toEqual(['wal', 'dumps']);
  });

  it('candidates are the complete and the cold backups of the policy, newest first', () => {
    const backups = [
      backup('1', { policy: 'dumps' }),
      backup('2', { policy: 'dumps', status: 'cold', database: 'mairie' }),
      backup('3', { policy: 'dumps', status: 'quarantined' }),
      backup('4', { policy: 'other' }),
    ];
    const dumps = policy('dumps', false, ['latest']);
    expect(candidateBackups(dumps, order, backups).map(({ label }) => label)).toEqual(['2', '1']);
    expect(candidateBackups(dumps, { ...order, database: 'mairie' }, backups).map(({ label }) => label)).toEqual(['2']);
    expect(() => candidateBackups(dumps, { ...order, database: 'none' }, backups)).toThrow(
      expect.objectContaining({ code: 'no-usable-backup' }),
    );
    expect(() => candidateBackups(dumps, { ...order, ...atOne }, backups)).toThrow(
      expect.objectContaining({ code: 'capability-missing' }),
    );
  });

  it('a backup asked for by its name has to be one that can be restored', () => {
    const damaged = backup('1', { status: 'quarantined' });
    const named = { ...order, target: { kind: 'backup', id: damaged.id } } as const;
    expect(() => namedBackup(named, 'mairie', [damaged])).toThrow(
      expect.objectContaining({ code: 'no-usable-backup', message: expect.stringContaining('quarantined') }),
    );
    expect(namedBackup(named, 'mairie', [{ ...damaged, status: 'cold' }])).toMatchObject({ status: 'cold' });
    expect(namedBackup(order, 'mairie', [damaged])).toBeUndefined();
  });

  it('F15: a newer backup that is quarantined is named, an older one is not', () => {
    const newer = backup('new', { policy: 'physical', status: 'quarantined', startedAt: '2026-11-21T00:00:00Z' });
    const older = { ...newer, id: 'old', startedAt: '2026-11-19T00:00:00Z' };
    expect(passedOver([newer, older, physical], 'physical', physicalSource.outline)).toEqual([
      expect.stringContaining(newer.id),
    ]);
    expect(passedOver([newer], 'dumps', physicalSource.outline)).toEqual([]);
  });
});

describe('W12: backups of another cluster, as before pg_upgrade', () => {
  const server = (systemIdentifier: string, versionNum: number) => ({ server: { systemIdentifier, versionNum } });
  const before = backup('1', { policy: 'physical', ...server('7001', 140023) });
  const now = backup('2', { policy: 'physical', ...server('7002', 180004) });
  const dumpBefore = backup('3', { policy: 'physical' });
  const backups = [before, now, dumpBefore];
  const one = {
    policy: { name: 'physical', cluster: 'mairie' },
    capabilities: { method: 'data-directory', targets: ['latest', 'backup'], archivesWal: true },
  } as unknown as Parameters<typeof candidateBackups>[0];
  const order = (target: object, into = 'in-place') =>
    ({ target, into }) as unknown as Parameters<typeof candidateBackups>[1];
  const labels = (target: object) => candidateBackups(one, order(target), backups).map(({ label }) => label);

  it('are no candidates but where one is named, and then no other one is', () => {
    expect(labels({ kind: 'latest' })).toEqual(['3', '2']);
    expect(labels({ kind: 'backup', id: before.id })).toEqual(['3', '1']);
    expect(otherClusterOf(before, backups)).toEqual({ systemIdentifier: '7001', major: 14 });
    expect(otherClusterOf(now, backups)).toBeNull();
    expect(otherClusterOf(dumpBefore, backups)).toBeNull();
  });

  it('replace nothing in place', () => {
    const other = { systemIdentifier: '7001', major: 14 };
    expect(() => requireBeside(order({ kind: 'latest' }), before, other)).toThrow(
      expect.objectContaining({
        code: 'identity-mismatch',
        hint: expect.stringContaining('with the programs of PostgreSQL 14') as unknown,
      }),
    );
    expect(() => requireBeside(order({ kind: 'latest' }, 'beside'), before, other)).not.toThrow();
    // Before the present cluster has a backup of its own.
    expect(() => requireBeside(order({ kind: 'latest' }), before, null, 18)).toThrow(
      expect.objectContaining({
        code: 'version-mismatch',
        message: expect.stringContaining('of PostgreSQL 14, and the data directory is of PostgreSQL 18') as unknown,
        hint: expect.stringContaining('--into NAME; where that data directory is not needed') as unknown,
      }),
    );
    expect(() => requireBeside(order({ kind: 'latest' }, 'beside'), before, null, 18)).not.toThrow();
    expect(() => requireBeside(order({ kind: 'latest' }), before, null, 14)).not.toThrow();
    expect(() => requireBeside(order({ kind: 'latest' }), before, null)).not.toThrow();
  });
});

describe('R2: what is logical in the databases that dumps replace', () => {
  const topology = {
    ...nothing,
    logicalSlots: ['cdc'],
    subscriptions: ['feed of database mairie'],
    statements: [`SELECT pg_drop_replication_slot('cdc');`],
  };
  const seen = { source: dumpSource, targetServer: { ok: true }, topology, disk: null } as const;

  it('is refused with the statements, and stays with the old databases where the order says so', () => {
    let refused: unknown = null;
    try {
      decide({ seen });
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({
      code: 'topology-refused',
      hint: expect.stringMatching(/--detach-replication.*pg_drop_replication_slot\('cdc'\).*reprise recover/s),
    });
    const detaching = decide({ seen, order: { detachReplication: true } });
    const { logicalSlots, subscriptions } = topology;
    expect(detaching.binding.detaches).toEqual({ logicalSlots, subscriptions });
    const none = { ...seen, topology: nothing };
    expect(decide({ seen: none, order: { detachReplication: true } }).binding.detaches).toBeUndefined();
  });

  it('a standby beside it is refused all the same, and so is a physical recovery', () => {
    const order = { detachReplication: true };
    const more = { ...seen, topology: { ...topology, standbys: ['replica'] } };
    expect(() => decide({ seen: more, order })).toThrow(/standby replica/);
    expect(() => decide({ seen: { topology }, order })).toThrow(/logical slot cdc/);
  });
});
