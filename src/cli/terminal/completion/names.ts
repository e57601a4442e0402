import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../../domain/config.js';
import type { BesideCopy } from '../../../domain/operation/inspections.js';
import { scheduleId } from '../../../domain/operation/names.js';
import { schedulesOf } from '../../../domain/operation/schedules.js';
import { parseDuration } from '../../../domain/text/units.js';
import type { Cli } from '../../cli-context.js';
import { NameCache, configKinds, configStamp, serverKinds } from './cache.js';
import type { Candidate, ConfigKind, ServerKind } from './cache.js';

export type NameKind = ConfigKind | ServerKind;
export type Names = ReadonlyMap<NameKind, readonly Candidate[]>;

/** How long completion waits for what it does not know yet: by default not at all, the next key finds it. */
const TIMEOUT_VARIABLE = 'REPRISE_COMPLETION_TIMEOUT';
const LOOK_MS = 20;
/** Reading a larger configuration takes longer than a key may: it is read in the background. */
const LARGE_BYTES = 50_000;

/** The names of these kinds, from the cache; what is missing or old there is refreshed by a process of its own. */
export async function namesFor(kinds: ReadonlySet<NameKind>, cli: Cli): Promise<Names> {
  const cache = NameCache.of(cli);
  const missing = [
    ...(await missingConfig(kinds, cli, cache)),
    ...serverKinds.filter((kind) => kinds.has(kind) && !cache.isFresh(kind)),
  ];
  if (missing.length > 0) await refreshInBackground(cli, cache, missing);
  const { config } = cache.read();
  const found = [...kinds].map((kind) => {
    const list = isServerKind(kind) ? (cache.known(kind) ?? []) : (config?.lists[kind] ?? []);
    return [kind, list.filter(({ name }) => isTypeable(name))] as const;
  });
  return new Map(found);
}

const isServerKind = (kind: NameKind): kind is ServerKind => (serverKinds as readonly string[]).includes(kind);

/** Reads a small configuration at once; of a large one, which kinds are to be read in the background. */
async function missingConfig(kinds: ReadonlySet<NameKind>, cli: Cli, cache: NameCache): Promise<readonly ConfigKind[]> {
  const wanted = configKinds.filter((kind) => kinds.has(kind));
  const file = configStamp(cli);
  if (wanted.length === 0 || file === null || cache.read().config?.stamp === file.stamp) return [];
  if (file.bytes > LARGE_BYTES) return wanted;
  await keepConfigNames(cli, cache);
  return [];
}

async function keepConfigNames(cli: Cli, cache: NameCache): Promise<void> {
  const file = configStamp(cli);
  const config = await cli.config().catch(() => null);
  if (file !== null && config !== null) await cache.keepConfig({ stamp: file.stamp, lists: configNames(config) });
}

async function refreshInBackground(cli: Cli, cache: NameCache, kinds: readonly NameKind[]): Promise<void> {
  await cache.prepare();
  if (cache.claimRefresh()) {
    const { config, address, namespace } = cli.globals;
    const given = Object.entries({ config, address, namespace }).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}`, value],
    );
    await cli.services
      .startDetached(['complete', '--refresh', kinds.join(','), ...given])
      .catch(() => cache.endRefresh());
  }
  const until = performance.now() + parseDuration(cli.terminal.env[TIMEOUT_VARIABLE] || '0s') * 1000;
  while (performance.now() < until && serverKinds.some((kind) => kinds.includes(kind) && !cache.isFresh(kind)))
    await sleep(LOOK_MS);
}

/** What the process does that `refreshInBackground` starts: asks for these kinds, and keeps the answers. */
export async function refreshNames(cli: Cli, kinds: readonly string[]): Promise<void> {
  const cache = NameCache.of(cli);
  try {
    if (configKinds.some((kind) => kinds.includes(kind))) await keepConfigNames(cli, cache);
    const asked = serverKinds.filter((kind) => kinds.includes(kind));
    if (asked.length === 0) return;
    await cli.withTemporal(async (session) => {
      for (const kind of asked) {
        const told = await askServer[kind](session).catch(() => null);
        if (told !== null) await cache.keepServer(candidates(told));
      }
    });
  } finally {
    cache.endRefresh();
  }
}

/** What commands are told, and completion may offer. */
export interface Told {
  readonly operations?: readonly {
    readonly workflowId: string;
    readonly cluster: string | null;
    readonly state: string;
  }[];
  readonly schedules?: readonly { readonly id: string; readonly cluster: string; readonly paused: boolean }[];
  readonly backups?: readonly {
    readonly id: string;
    readonly cluster: string;
    readonly status: string;
    readonly heldUntil: string | null;
  }[];
  readonly kept?: readonly { readonly id: string; readonly cluster: string }[];
  readonly beside?: readonly BesideCopy[];
  /** That have ended. */
  readonly drills?: readonly { readonly drillId: string; readonly cluster: string; readonly evidence: unknown }[];
  readonly running?: readonly { readonly drillId: string; readonly workflowId: string; readonly state: string }[];
}

/** Keeps what a command has just been told, so that completion knows it too. */
export async function rememberNames(cli: Cli, told: Told): Promise<void> {
  await NameCache.of(cli).keepServer(candidates(told));
}

function candidates({
  operations,
  schedules,
  backups,
  kept,
  beside,
  drills,
  running,
}: Told): Partial<Record<ServerKind, readonly Candidate[]>> {
  return {
    ...(operations && {
      operation: operations.map(({ workflowId, cluster, state }) => ({
        name: workflowId,
        cluster: cluster ?? undefined,
        state,
      })),
    }),
    ...(schedules && {
      scheduled: schedules.map(({ id, cluster, paused }) => ({ name: id, cluster, state: paused ? 'paused' : 'on' })),
    }),
    ...(backups && {
      backup: backups.map(({ id, cluster, status, heldUntil }) => ({
        name: id,
        cluster,
        state: status,
        held: heldUntil !== null,
      })),
    }),
    ...(kept && { kept: kept.map(({ id, cluster }) => ({ name: id, cluster })) }),
    ...(beside && {
      beside: beside
        .filter(({ state }) => state !== 'gone')
        // A database cannot be stopped.
        .map(({ name, cluster, state, where }) => ({
          name,
          cluster,
          state: where.startsWith('/') ? state : 'database',
        })),
    }),
    ...(drills && { drill: [...(running ?? []).map(runningDrill), ...drills.toReversed().map(endedDrill)] }),
  };
}

const runningDrill = ({ drillId, workflowId, state }: NonNullable<Told['running']>[number]): Candidate => ({
  name: drillId,
  cluster: workflowId.split('/')[1],
  state,
});

const endedDrill = ({ drillId, cluster, evidence }: NonNullable<Told['drills']>[number]): Candidate => ({
  name: drillId,
  cluster,
  state: evidence === null ? 'without-evidence' : 'with-evidence',
});

type Session = Parameters<Parameters<Cli['withTemporal']>[0]>[0];

const askServer: Readonly<Record<ServerKind, (session: Session) => Promise<Told | null>>> = {
  operation: async (session) => {
    const { listRunningOperations } = await import('../../../client/running-operations.js');
    return { operations: await listRunningOperations(session) };
  },
  scheduled: async (session) => {
    const { listSchedules } = await import('../../../client/schedules/operate-schedules.js');
    return { schedules: await listSchedules(session) };
  },
  backup: async (session) => {
    const answer = await inspected(session, 'backups');
    return answer === null ? null : { backups: answer.backups };
  },
  kept: async (session) => {
    const answer = await inspected(session, 'kept');
    return answer === null ? null : { kept: answer.kept };
  },
  beside: async (session) => {
    const answer = await inspected(session, 'beside');
    return answer === null ? null : { beside: answer.copies };
  },
  drill: async (session) => {
    const { listDrills } = await import('../../../client/drills.js');
    return (await canInspect(session)) ? listDrills(session) : null;
  },
};

/** Null without a worker: the question would stay open after us. */
async function inspected<K extends 'backups' | 'kept' | 'beside'>(session: Session, kind: K) {
  const { runInspection } = await import('../../../client/inspect.js');
  return (await canInspect(session)) ? runInspection<K>(session, { kind } as never) : null;
}

async function canInspect(session: Session): Promise<boolean> {
  const [{ hasPoller }, { CONTROL_QUEUE }] = await Promise.all([
    import('../../../client/pollers.js'),
    import('../../../domain/operation/names.js'),
  ]);
  return hasPoller(session, CONTROL_QUEUE, 'workflow');
}

function configNames(config: Config): Readonly<Record<ConfigKind, readonly Candidate[]>> {
  const { clusters, hosts, repositories, media, contacts, notifiers } = config;
  const named = (values: object): readonly Candidate[] => Object.keys(values).map((name) => ({ name }));
  const below = (list: (cluster: Config['clusters'][string]) => readonly string[]): readonly Candidate[] =>
    Object.values(clusters).flatMap((cluster) => list(cluster).map((name) => ({ name, cluster: cluster.name })));
  return {
    cluster: named(clusters),
    policy: below(({ policies }) => Object.keys(policies)),
    database: below(({ databases }) => databases),
    table: below(({ tables = {} }) => Object.keys(tables)),
    invariant: below(({ tables = {} }) =>
      Object.values(tables).flatMap(({ invariants = {} }) => Object.keys(invariants)),
    ),
    host: named(hosts),
    target: [{ name: 'in-place' }, ...below(({ recovery }) => Object.keys(recovery.targets))],
    repository: named(repositories),
    media: named(media),
    contact: named(contacts),
    notifier: named(notifiers),
    schedule: Object.values(clusters).flatMap((cluster) =>
      schedulesOf(config, cluster).map(({ policy, starts }) => ({
        ...{ name: scheduleId(cluster.name, policy), cluster: cluster.name, state: starts },
      })),
    ),
  };
}

/** Names that shells would take apart, or that would take a line apart, have to be typed. */
function isTypeable(name: string): boolean {
  return /^[\p{L}\p{N}._:/@+-]+$/u.test(name);
}
