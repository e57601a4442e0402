import { RepriseError } from '../errors.js';

/** What depends on a cluster and does not survive that its data directory is replaced. */
export interface Topology {
  /** `name (address)` of standbys that stream from it now. */
  readonly standbys: readonly string[];
  readonly physicalSlots: readonly string[];
  readonly logicalSlots: readonly string[];
  /** Subscriptions of this cluster. */
  readonly subscriptions: readonly string[];
  readonly patroni: boolean;
  /** It is a standby itself: the primary is what must be recovered. */
  readonly isStandby: boolean;
  /** Locations of tablespaces outside the data directory. */
  readonly tablespaces: readonly string[];
  /** What to type to detach slots and subscriptions, each with what becomes of the other side; absent: nobody could look. */
  readonly statements?: readonly string[];
  /** Extensions that run jobs by themselves, such as pg_cron. */
  readonly schedulers: readonly string[];
}

/** Each as {@link Topology} names it. */
export type DetachedReplication = Pick<Topology, 'logicalSlots' | 'subscriptions'>;

/** What of these databases stays with the old ones; undefined where there is nothing. */
export function detachedFrom({ logicalSlots, subscriptions }: Topology): DetachedReplication | undefined {
  return logicalSlots.length + subscriptions.length === 0 ? undefined : { logicalSlots, subscriptions };
}

/** What becomes of each, for the plan and the report. */
export function detachedInWords({ logicalSlots, subscriptions }: DetachedReplication): readonly string[] {
  return [
    ...subscriptions.map(
      (name) =>
        `subscription ${name}: it is disabled and stays in the old database; what holds WAL at its publisher has to be used by a new subscription, or dropped there`,
    ),
    ...logicalSlots.map(
      (name) => `logical slot ${name}: it stays with the old database and holds WAL; its subscriber has to be rebuilt`,
    ),
  ];
}

/** Without what a plan detaches. */
export function withoutDetached(topology: Topology, detached: DetachedReplication | undefined): Topology {
  const rest = (names: readonly string[], known: readonly string[] = []): readonly string[] =>
    names.filter((name) => !known.includes(name));
  return {
    ...topology,
    logicalSlots: rest(topology.logicalSlots, detached?.logicalSlots),
    subscriptions: rest(topology.subscriptions, detached?.subscriptions),
  };
}

/** The refusal of an in-place recovery (`topology-refused`, naming what must be rebuilt), or null where nothing depends on the cluster. `mayDetach`: an order may say that they are left behind. */
export function topologyRefusal(topology: Topology, { mayDetach = false } = {}): RepriseError | null {
  const { standbys, physicalSlots, logicalSlots, subscriptions, statements = [], patroni, isStandby } = topology;
  const rebuild = [
    ...(patroni ? ['the Patroni cluster (pause it, or recover with its own bootstrap)'] : []),
    ...(isStandby ? ['this server as a standby of its primary'] : []),
    ...standbys.map((name) => `standby ${name}`),
    ...physicalSlots.map((name) => `the standby or receiver behind slot ${name}`),
    ...logicalSlots.map((name) => `the subscriber behind logical slot ${name}`),
    ...subscriptions.map((name) => `subscription ${name}`),
  ];
  if (rebuild.length === 0) return null;
  return new RepriseError(
    'topology-refused',
    `an in-place recovery would break what depends on this cluster: ${rebuild.join('; ')}`,
    `Detach them first (stop standbys, drop slots and subscriptions) and rebuild them after the recovery, or recover beside with --into NAME${mayDetach ? ', or have them stay with the old databases with --detach-replication, and rebuild them' : ''}.${statementsText(statements)}`,
    { rebuild },
  );
}

const MOST_STATEMENTS = 10;

function statementsText(statements: readonly string[]): string {
  if (statements.length === 0) return '';
  const more = statements.length - MOST_STATEMENTS;
  const shown = [...statements.slice(0, MOST_STATEMENTS), ...(more > 0 ? [`and ${more} more`] : [])];
  return `\n${shown.map((text) => `  ${text}`).join('\n')}\nThen plan again: reprise recover.`;
}
