import { sha256Hex } from '../../../src/records/digest.js';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { ActivityRun } from '../../../src/activities/activity-wrapper.js';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { isRepriseError, RepriseError } from '../../../src/domain/errors.js';
import type { ConnectionConfig } from '../../../src/domain/config.js';
import type { RecoveryOutline } from '../../../src/engines/engine.js';
import { golden } from '../../helpers/golden.js';
import { tempDir } from '../../helpers/temp.js';
import { backupFacts } from '../records/samples.js';

/** What the machine would say, so that one plan comes out of one case: a server, a disk, a data directory, programs. */
interface Machine {
  /** Ports at which a server answers. */
  answers: readonly number[];
  dataDir: 'whole' | 'damaged';
  processes: readonly number[];
  standbys: readonly string[];
  free: number;
  used: number;
  walUsed: number;
  writable: boolean;
  thawing: 'none' | 'cold' | 'unreadable';
}
let machine: Machine;

const modules = '../../../src';
const mocked = async (path: string, parts: Record<string, unknown>) => {
  const actual = (await import(`${modules}/${path}`)) as Record<string, unknown>;
  jest.unstable_mockModule(`${modules}/${path}`, () => ({ ...actual, ...parts }));
};
const seen = (connection: ConnectionConfig) =>
  machine.answers.includes(connection.port)
    ? { ok: true }
    : { ok: false, layer: 'port', reason: `${connection.host}:${connection.port}: connect ECONNREFUSED` };
await mocked('postgres/connection/probe.js', { probe: async (connection: ConnectionConfig) => seen(connection) });
const withTopology = async (fn: (client: unknown) => unknown): Promise<unknown> => {
  if (!machine.answers.includes(5432)) throw new RepriseError('database-unreachable', 'no server at 5432');
  const nothing = { physicalSlots: [], logicalSlots: [], subscriptions: [], tablespaces: [], schedulers: [] };
  const topology = { ...nothing, standbys: machine.standbys, patroni: false, isStandby: false };
  return fn({ query: async () => ({ rows: [topology] }) });
};
await mocked('postgres/connection/with-client.js', {
  probe: async (connection: ConnectionConfig) => seen(connection),
  withClient: (_connection: unknown, _database: string, fn: (client: unknown) => unknown) => withTopology(fn),
  withMaintenance: (_connection: unknown, fn: (client: unknown) => unknown) => withTopology(fn),
});
await mocked('postgres/server/data-directory.js', {
  holdsUnfinishedRecovery: async () => false,
  inspectDataDir: async () => ({
    state: machine.dataDir,
    reason: machine.dataDir === 'whole' ? 'control file, databases and WAL are in place' : 'base is missing',
    walReadable: true,
    control: { systemIdentifier: '7442345678901234567' },
  }),
});
await mocked('postgres/server/postmaster.js', { processesIn: async () => machine.processes });
await mocked('postgres/server/disk.js', {
  freeBytes: async () => machine.free,
  isWritableDirectory: async () => machine.writable,
  onSameFileSystem: async () => true,
  usedBytes: async (path: string) => (path.endsWith('pg_wal') ? machine.walUsed : machine.used),
});
const counts = { objects: 2, bytes: 2_000_000 };
await mocked('activities/media/plan.js', {
  makeMediaPlan: async () => ({
    digest: 'd'.repeat(64),
    binding: { counts: { undelete: counts, overwrite: counts, copy: counts, remove: counts } },
    observed: { warnings: ['versions are suspended'] },
  }),
});
const { openClusterContext, record } = await import('../../../src/activities/cluster-context.js');
const { makePlan } = await import('../../../src/activities/recovery/plan.js');
const { planDigest } = await import('../../../src/records/digest.js');
const { openDirectory } = await import('../../../src/storage/directory/directory-storage.js');
const { oldDirectory } = await import('../../../src/activities/recovery/old-data.js');

type Request = Parameters<typeof makePlan>[1];
interface Case {
  readonly request?: Partial<Omit<Request, 'order'>>;
  readonly order?: Partial<Request['order']>;
  readonly machine?: Partial<Machine>;
  readonly cluster?: Record<string, unknown>;
  /** Config of the host beside the cluster. */
  readonly config?: Record<string, unknown>;
  readonly host?: string;
  readonly outline?: Partial<RecoveryOutline>;
  readonly logical?: Partial<RecoveryOutline>;
  /** The engine refuses, by policy. */
  readonly refuses?: Readonly<Record<string, RepriseError>>;
  readonly capabilities?: Record<string, unknown>;
  readonly listed?: Readonly<Record<string, readonly Record<string, unknown>[]>>;
  /** The data directory is not there. */
  readonly gone?: boolean;
  /** Left by a recovery that was given up. */
  readonly givenUp?: boolean;
  readonly approvedThaw?: Parameters<typeof makePlan>[3];
}

const physicalOutline: RecoveryOutline = {
  backups: [],
  target: { kind: 'latest' },
  timeline: 1,
  systemIdentifier: '7442345678901234567',
  sizeBytes: 1_500_000_000,
  neededBytes: 2_250_000_000,
  reachableFrom: '2026-11-20T02:19:48Z',
  reachableTo: '2026-11-21T02:14:57Z',
  walEnd: '0/5A000148',
  salvageableSegments: 2,
  warnings: ['two WAL segments are not archived'],
};
const noWal = { timeline: null, systemIdentifier: null, walEnd: null, salvageableSegments: 0, warnings: [] };
const approval = {
  approvers: 1,
  from: ['dba', 'ops'],
  requesterMayApprove: true,
  approveWithinSeconds: 3600,
  executeWithinSeconds: 3600,
  signatures: 'none',
};
const physicalListed = {
  label: '20261120-021503F',
  type: 'full',
  startedAt: '2026-11-20T02:15:03Z',
  finishedAt: '2026-11-20T02:19:48Z',
  sizeBytes: 1_500_000_000,
  sha256: 'a'.repeat(64),
};
const dumpOf = (database: string, startedAt: string) => ({
  label: `${database}-20261120`,
  type: 'full',
  startedAt,
  finishedAt: '2026-11-20T01:35:00Z',
  sizeBytes: 1000,
  sha256: 'c'.repeat(64),
  database,
});
const listed = {
  physical: [physicalListed],
  dumps: [dumpOf('mairie', '2026-11-20T01:30:10Z'), dumpOf('archives', '2026-11-20T01:30:00Z')],
};
const dumps = { order: { policy: 'dumps' }, machine: { answers: [5432] } } as const;
const refusal = (code: 'wal-gap' | 'target-after-wal' | 'backup-corrupt', text: string) =>
  new RepriseError(
    code,
    text,
    'look at it',
    code === 'backup-corrupt' ? { damagedBackup: 'mairie:pgbackrest:20261120-021503F' } : {},
  );

const cases: Record<string, Case> = {
  'the server is down and its data directory is whole': { machine: { dataDir: 'whole' } },
  'the same, and a pause asked for': { machine: { dataDir: 'whole' }, order: { pause: true } },
  'in place, physical, the server down': {},
  'in place, physical, the server answers': { machine: { answers: [5432] } },
  'in place, the data directory gone': { gone: true, outline: { salvageableSegments: 0 } },
  'in place, after a recovery that was given up': { givenUp: true },
  'to a time, with a pause, by somebody who may not approve it': {
    request: { requester: 'dba' },
    order: { target: { kind: 'time', time: '2026-11-21T01:00:00Z' }, pause: true },
    outline: { target: { kind: 'time', time: '2026-11-21T01:00:00Z' } },
    cluster: {
      approvals: { recover: { ...approval, approvers: 2, from: ['dba', 'ops', 'maire'], requesterMayApprove: false } },
    },
  },
  'to a backup': {
    order: { target: { kind: 'backup', id: 'mairie:pgbackrest:20261120-021503F' } },
    outline: { target: { kind: 'backup', id: 'mairie:pgbackrest:20261120-021503F' } },
  },
  'to an LSN': {
    order: { target: { kind: 'lsn', lsn: '0/5A000100' } as never },
    outline: { target: { kind: 'lsn', lsn: '0/5A000100' } as never },
  },
  'to a backup that is quarantined': {
    order: { target: { kind: 'backup', id: 'mairie:pgbackrest:20261120-021503F' } },
    listed: { ...listed, physical: [{ ...physicalListed, damaged: 'checksum' }] },
  },
  'a newer backup is quarantined': {
    listed: {
      ...listed,
      physical: [
        physicalListed,
        { ...physicalListed, label: '20261121-021503F', startedAt: '2026-11-21T01:15:03Z', damaged: 'checksum' },
      ],
    },
  },
  'a backup without end and hash': {
    outline: {
      backups: [{ ...backupFacts('x'), finishedAt: null, proven: null, heldUntil: null, status: 'complete' } as never],
    },
  },
  'old data copied to another file system': {
    cluster: { recovery: { oldData: { mode: 'aside-on', path: '/mnt/spare' } } },
    machine: { free: 79e9, used: 12e9 },
  },
  'old data copied to where there is no room': {
    cluster: { recovery: { oldData: { mode: 'aside-on', path: '/mnt/spare' } } },
    machine: { free: 7e9, used: 12e9 },
  },
  'old data copied to where nobody may write': {
    cluster: { recovery: { oldData: { mode: 'aside-on', path: '/mnt/spare' } } },
    machine: { writable: false },
  },
  'old data overwritten': {
    cluster: { recovery: { oldData: { mode: 'overwrite-delta' } } },
    capabilities: { overwrites: true },
    machine: { free: 1e9, used: 12e9, walUsed: 3e8 },
  },
  'old data to be overwritten by an engine that cannot': {
    cluster: { recovery: { oldData: { mode: 'overwrite-delta' } } },
  },
  'too little room': { machine: { free: 1e9 } },
  'a standby hangs on the cluster': { machine: { answers: [5432], standbys: ['replica (10.0.0.2)'] } },
  'a cluster without a data directory': { cluster: { dataDir: undefined } },
  'beside, on the same host': { order: { into: 'beside' } },
  'beside, where old data is to be overwritten in place': {
    order: { into: 'beside' },
    cluster: { recovery: { oldData: { mode: 'overwrite-delta' } } },
  },
  'beside, where a server works': { order: { into: 'beside' }, machine: { processes: [17, 18] } },
  'onto another host, whose own configuration is known': {
    request: { sourceAnswers: false },
    order: { into: 'elsewhere' },
    host: 'db2',
  },
  'onto another host, with a mounted catalogue': {
    request: { sourceAnswers: true },
    order: { into: 'elsewhere', policy: 'physical' },
    host: 'db2',
    config: { repositories: { local: { name: 'local', type: 'directory', host: 'db1', options: {} } } },
  },
  'a place of another host': { order: { into: 'elsewhere' } },
  'a place that is not configured': { order: { into: 'nowhere' } },
  'nobody may approve': { cluster: { approvals: {} } },
  'another configuration in the control worker': { request: { controlDigest: 'e'.repeat(64) } },
  dumps: { ...dumps },
  'dumps, one database': {
    order: { policy: 'dumps', database: 'mairie' },
    machine: { answers: [5432] },
    logical: { backups: 'first' as never },
  },
  'dumps beside': { order: { policy: 'dumps', into: 'beside' }, machine: { answers: [5434] } },
  'dumps into a server that does not answer': { order: { policy: 'dumps' } },
  'dumps, with hooks and a safety backup': {
    ...dumps,
    cluster: {
      recovery: { steps: ['stop-applications', 'safety-backup', 'restore', 'start-applications'] },
      hooks: { 'stop-applications': { name: 'stop-applications' }, 'safety-backup': { name: 'safety-backup' } },
    },
  },
  'physical, with hooks and a safety backup': {
    cluster: {
      recovery: { steps: ['stop-applications', 'safety-backup', 'restore', 'start-applications'] },
      hooks: { 'stop-applications': { name: 'stop-applications' } },
    },
  },
  'physical, with a hook and what takes it back': {
    cluster: {
      recovery: { steps: ['stop-applications', 'restore', 'start-applications'] },
      hooks: {
        'stop-applications': { name: 'stop-applications', undo: 'start-applications' },
        'start-applications': { name: 'start-applications' },
        unrelated: { name: 'unrelated', undo: 'start-applications' },
      },
    },
  },
  'beside, with hooks': {
    order: { into: 'beside' },
    cluster: {
      recovery: { steps: ['stop-applications', 'restore'] },
      hooks: { 'stop-applications': { name: 'stop-applications' } },
    },
  },
  'a policy that is not there': { order: { policy: 'weekly' } },
  'a policy that cannot reach the target': {
    order: { policy: 'dumps', target: { kind: 'time', time: '2026-11-21T01:00:00Z' } },
  },
  'a policy without a backup': { order: { policy: 'physical' }, listed: { physical: [], dumps: [] } },
  'no policy that can reach the target': { order: { target: { kind: 'xid', xid: '123' } as never } },
  'the first policy refuses, the second can': {
    refuses: { physical: refusal('wal-gap', 'WAL is missing') },
    machine: { answers: [5432] },
  },
  'every policy refuses': {
    refuses: { physical: refusal('wal-gap', 'WAL is missing'), dumps: refusal('target-after-wal', 'nothing after') },
  },
  'a backup is found damaged': { refuses: { physical: refusal('backup-corrupt', 'label is damaged') } },
  'files that are gone are put back': { outline: { backups: 'configured' as never } },
  'files that have to be thawed': { machine: { thawing: 'cold' } },
  'files thawed with a tier asked for': { machine: { thawing: 'cold' }, order: { thawTier: 'Bulk' } },
  'files thawed with a tier that is none': { machine: { thawing: 'cold' }, order: { thawTier: 'Expedited' } },
  'files that were thawed since the plan was approved': { approvedThaw: { tier: 'Standard', days: 7 } },
  'files of another tool that cannot be looked at': { machine: { thawing: 'unreadable' } },
  'with media': {
    order: { withMedia: 'photos', target: { kind: 'time', time: '2026-11-21T01:00:00+01:00' } },
    outline: { target: { kind: 'time', time: '2026-11-21T01:00:00+01:00' } },
  },
  'with media, to the latest state': { order: { withMedia: 'photos' } },
  'with media, beside': {
    order: { withMedia: 'photos', into: 'beside', target: { kind: 'time', time: '2026-11-21T01:00:00Z' } },
  },
  'with media that others guard': {
    order: { withMedia: 'photos', target: { kind: 'time', time: '2026-11-21T01:00:00Z' } },
    outline: { target: { kind: 'time', time: '2026-11-21T01:00:00Z' } },
    cluster: { approvals: { recover: approval, 'media-recover': { ...approval, from: ['archivist'] } } },
  },
};

/** One cluster with a physical policy and one of dumps, on a machine as the case says. */
async function planOf(given: Case): Promise<{ text: string; root: string }> {
  const root = await tempDir('plan');
  const dataDir = join(root, 'main');
  machine = {
    answers: [],
    dataDir: 'damaged',
    processes: [],
    standbys: [],
    free: 79_000_000_000,
    used: 0,
    walUsed: 0,
    writable: true,
    thawing: 'none',
    ...given.machine,
  };
  if (!given.gone) {
    await mkdir(join(dataDir, 'global'), { recursive: true });
    if (given.givenUp) await writeFile(join(dataDir, 'backup_label'), '');
    await writeFile(join(dataDir, 'global', 'pg_control'), '');
  }
  const targets = {
    beside: { name: 'beside', host: 'db1', dataDir: join(root, 'beside'), port: 5434 },
    elsewhere: { name: 'elsewhere', host: 'db2', dataDir, port: 5440 },
  };
  if (given.order?.into === 'beside') await mkdir(targets.beside.dataDir);
  const policies = {
    dumps: { name: 'dumps', cluster: 'mairie', engine: 'logical', repository: 'local', enabled: true, options: {} },
    physical: {
      name: 'physical',
      cluster: 'mairie',
      engine: 'pgbackrest',
      repository: 'local',
      enabled: true,
      options: {},
    },
  };
  const recovery = { oldData: { mode: 'aside' }, targets, steps: ['stop-applications', 'restore', 'run-checks'] };
  const cluster = {
    name: 'mairie',
    host: 'db1',
    dataDir,
    service: { kind: 'pg_ctl' },
    databases: ['mairie', 'archives'],
    catalogue: 'local',
    connection: { host: '127.0.0.1', port: 5432, user: 'x', maintenanceDatabase: 'postgres' },
    policies,
    hooks: {},
    checks: {},
    approvals: { recover: approval },
    ...given.cluster,
    recovery: { ...recovery, ...(given.cluster?.['recovery'] as object) },
  };
  const storage = openDirectory({ path: join(root, 'repository') });
  const cold = { key: 'files/1', storageClass: 'DEEP_ARCHIVE', sizeBytes: 3_000_000_000, thawing: false };
  const opened = {
    ...storage,
    thaw: { tier: 'Standard', days: 5 },
    coldObjects: async (keys: readonly string[]) => {
      if (machine.thawing === 'unreadable') throw new Error('access denied');
      return machine.thawing === 'cold' && keys.length > 0 ? [cold] : [];
    },
  };
  const engines = {
    pgbackrest: {
      kind: 'pgbackrest',
      capabilities: {
        method: 'data-directory',
        targets: ['latest', 'time', 'lsn', 'backup'],
        archivesWal: true,
        ...given.capabilities,
      },
      list: async () => (given.listed ?? listed)['physical'] ?? [],
      configDigest: async () => 'f'.repeat(64),
      storedFiles: async (_context: unknown, label: string) => [`files/${label}`],
      ...(given.machine?.thawing === 'unreadable'
        ? { toolStore: { describe: async () => null, coldFiles: async () => [] } }
        : {}),
      bindBackup: async (_context: unknown, { label }: { label: string }) => ({ manifest: sha256Hex(label) }),
      outlineRecovery: async (
        _context: unknown,
        { candidates, oldDataDir }: { candidates: RecoveryOutline['backups']; oldDataDir: string | null },
      ) => {
        if (given.refuses?.['physical']) throw given.refuses['physical'];
        const more = { ...given.outline };
        const [newest] = candidates;
        if ((more.backups as unknown) === 'configured') {
          const configuration = {
            key: 'k',
            files: ['/nonexistent/reprise/pg_hba.conf'],
            masked: 0,
            certificates: [],
            notCaptured: [],
          };
          more.backups = [{ ...newest, configuration } as never];
        }
        return {
          ...physicalOutline,
          backups: newest ? [newest] : [],
          warnings: [...physicalOutline.warnings, `WAL that was not archived is looked for in ${oldDataDir}`],
          ...more,
        };
      },
    },
    logical: {
      kind: 'logical',
      capabilities: { method: 'databases', targets: ['latest', 'backup'], archivesWal: false },
      list: async () => (given.listed ?? listed)['dumps'] ?? [],
      bindBackup: async (_context: unknown, { label }: { label: string }) => ({ manifest: sha256Hex(label) }),
      outlineRecovery: async (
        _context: unknown,
        { candidates, target }: { candidates: RecoveryOutline['backups']; target: RecoveryOutline['target'] },
      ) => {
        if (given.refuses?.['dumps']) throw given.refuses['dumps'];
        const backups = (given.logical?.backups as unknown) === 'first' ? candidates.slice(0, 1) : candidates;
        return {
          ...physicalOutline,
          ...noWal,
          target,
          backups,
          reachableFrom: '2026-11-20T01:30:00Z',
          reachableTo: '2026-11-20T01:30:00Z',
          neededBytes: 2000,
          sizeBytes: 2000,
        };
      },
    },
  };
  const deps = {
    config: {
      digest: 'b'.repeat(64),
      hosts: {
        db1: { name: 'db1', stateDir: join(root, 'state') },
        db2: { name: 'db2', stateDir: join(root, 'state') },
      },
      repositories: {
        local: {
          name: 'local',
          type: 'directory',
          options: { path: join(root, 'repository') },
          prices: { currency: 'EUR', perGbMonth: {}, thawPerGb: { DEEP_ARCHIVE: { Standard: 0.02 } } },
        },
      },
      clusters: { mairie: cluster },
      media: { photos: { name: 'photos', cluster: 'mairie', repository: 'local', folder: 'photos/' } },
      ...given.config,
    },
    host: given.host ?? 'db1',
    openStorage: () => opened,
    jobUser: async () => null,
    postgresBin: async () => '/usr/lib/postgresql/15/bin',
    engineOf: (kind: 'pgbackrest' | 'logical') => engines[kind],
  } as unknown as HostDependencies;
  if (given.config) {
    // A mounted directory is known by what is found in it.
    await mkdir(join(root, 'repository', 'mairie'), { recursive: true });
    const { local } = deps.config.repositories as Record<string, { options: Record<string, unknown> }>;
    (local as { options: Record<string, unknown> }).options = { path: join(root, 'repository') };
  }
  const session = await openClusterContext(deps, 'mairie');
  if (given.givenUp) {
    const where = `${dataDir}.aside-earlier`;
    await mkdir(where);
    await record(session, { operationId: 'earlier' }, 'kept', {
      kind: 'kept',
      keptId: 'earlier/old',
      what: oldDirectory(dataDir),
      where,
      sizeBytes: null,
      host: 'db1',
    });
  }
  const request: Request = {
    cluster: 'mairie',
    operationId: '20261121t021500-7f3a',
    workflowId: 'recover/mairie/20261121t021500-7f3a',
    requester: 'watch',
    ...given.request,
    order: { target: { kind: 'latest' }, into: 'in-place', pause: false, ...given.order },
  };
  const run = { signal: new AbortController().signal, report: () => undefined } as unknown as ActivityRun;
  const text = await makePlan(session, request, run, given.approvedThaw).then(
    (plan) => {
      expect(plan.digest).toBe(planDigest(plan.binding));
      // The digest is of paths that differ from run to run; what it is made of is compared byte for byte.
      return `binding ${JSON.stringify(plan.binding)}\nobserved ${JSON.stringify(plan.observed)}\ncreated ${plan.createdAt}, approval possible until ${plan.approveBy}`;
    },
    (error: unknown) => {
      if (!isRepriseError(error)) throw error;
      return `refused ${error.code}\n${error.message}\nHINT: ${error.hint}\n${JSON.stringify(error.details)}`;
    },
  );
  return { text: text.replaceAll(root, '<root>'), root };
}

describe('a recovery plan for every state of the machine, as it was recorded', () => {
  const roots: string[] = [];
  afterEach(async () => {
    jest.useRealTimers();
    for (const root of roots.splice(0)) await rm(root, { recursive: true, force: true });
  });

  it('binding, observations and refusals are the same byte for byte', async () => {
    const all: string[] = [];
    for (const [name, given] of Object.entries(cases)) {
      jest.useFakeTimers({
        now: new Date('2026-11-21T02:15:10Z'),
        doNotFake: [
          'setTimeout',
          'setInterval',
          'setImmediate',
          'nextTick',
          'queueMicrotask',
          'clearTimeout',
          'clearInterval',
          'clearImmediate',
          'hrtime',
          'performance',
        ],
      });
      const { text, root } = await planOf(given);
      roots.push(root);
      all.push(`# ${name}\n${text}\n`);
    }
    const made = all.join('\n');
    expect(made).toBe(await golden(new URL('golden/plans.txt', import.meta.url), made));
  });
});
