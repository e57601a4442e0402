import type { Config } from '../config.js';
import { eventOf, type Notice, type NotifyEvent, toldAs } from './notices.js';

/** One message to be sent by one notifier; people by the names of their contacts. */
export interface Delivery {
  readonly notifier: string;
  /** Who has to act; with a notifier that has one address of its own, possibly nobody by name. */
  readonly first: readonly string[];
  /** Who is told as well. */
  readonly others: readonly string[];
}

/**
 * Who is told, and by which notifiers: contacts with an address for a notifier; in front of them those who may approve,
 * or whom `raci` names. A notifier with one address of its own (`addressed: false`) is told once, whoever reads there.
 */
export function deliveriesOf(config: Config, { cluster, facts }: Notice): readonly Delivery[] {
  if (facts.kind === 'test') {
    const { contact, notifier } = facts;
    const chosen = Object.values(config.notifiers).filter(({ name }) => notifier === null || name === notifier);
    return chosen
      .filter(({ name, addressed }) => !addressed || addressesOf(config, contact, name).length > 0)
      .map(({ name }) => ({ notifier: name, first: [contact], others: [] }));
  }
  if (facts.kind === 'run') return runNotifiers(config).map((notifier) => ({ notifier, first: [], others: [] }));
  const event = eventOf(facts);
  const wanted = event === null ? [] : notifiersFor(config, event);
  const acting =
    drillContacts(config, facts) ?? repairContacts(config, cluster, facts) ?? actingContacts(config, cluster, facts);
  return wanted.flatMap((notifier) => {
    const reached = Object.keys(config.contacts).filter((contact) => addressesOf(config, contact, notifier).length > 0);
    const first = acting.filter((contact) => reached.includes(contact));
    // Where nobody who has to act can be reached by it, all the others count.
    const delivery = {
      notifier,
      first: first.length > 0 ? first : reached,
      others: first.length > 0 ? reached.filter((contact) => !first.includes(contact)) : [],
    };
    return reached.length > 0 || config.notifiers[notifier]?.addressed === false ? [delivery] : [];
  });
}

/** Those that are told of every scheduled run. */
function runNotifiers({ notifiers }: Pick<Config, 'notifiers'>): readonly string[] {
  return Object.values(notifiers)
    .filter(({ takesRuns }) => takesRuns)
    .map(({ name }) => name);
}

/** By which notifiers an event is told. */
export function notifiersFor(config: Pick<Config, 'notify' | 'notifiers'>, event: NotifyEvent): readonly string[] {
  if (event === 'run') return runNotifiers(config);
  const { notify } = config;
  const other = toldAs[event];
  return notify[event] ?? (other === undefined ? [] : (notify[other] ?? []));
}

/** Addresses of a contact for a notifier, as the file has them: one or a list. */
export function addressesOf(config: Config, contact: string, notifier: string): readonly string[] {
  const found = config.contacts[contact]?.[notifier];
  const list: readonly unknown[] = Array.isArray(found) ? found : [found];
  return list.filter((address): address is string => typeof address === 'string' && address !== '');
}

/** For a drill and its sign-off; an escalation goes to whoever is responsible. */
function drillContacts({ raci }: Config, facts: Notice['facts']): readonly string[] | null {
  const responsible = raci['drill'] ?? [];
  if (facts.kind === 'drill') return responsible;
  if (facts.kind !== 'sign-off') return null;
  return facts.stage === 'escalation' ? [...responsible, ...facts.by] : facts.by;
}

/** For what follows the repair of a table; those who approve repairs decide where the word is bad, late or missing. */
function repairContacts(config: Config, cluster: string | null, facts: Notice['facts']): readonly string[] | null {
  if (facts.kind !== 'repair-sign-off' && facts.kind !== 'table-volume') return null;
  const deciding = approversOf(config, cluster, 'table-repair');
  if (facts.kind === 'table-volume') return deciding;
  const isAsked = facts.stage === 'asked' || facts.stage === 'reminder';
  return isAsked ? facts.by : [...new Set([...deciding, ...facts.by])];
}

function actingContacts(config: Config, cluster: string | null, facts: Notice['facts']): readonly string[] {
  if (facts.kind === 'approval') return approversOf(config, cluster, facts.plan.binding.action);
  if (facts.kind === 'skipped' || facts.kind === 'daily-check' || (facts.kind === 'paused' && facts.action === null))
    return config.raci['backup'] ?? [];
  if (facts.kind === 'paused') return approversOf(config, cluster, facts.action ?? 'recover');
  if (facts.kind === 'failed' && !isRecovery[facts.what]) return config.raci['backup'] ?? [];
  return config.raci['recover'] ?? [];
}

const isRecovery: Readonly<Record<Extract<Notice['facts'], { kind: 'failed' }>['what'], boolean>> = {
  backup: false,
  rotation: false,
  WAL: false,
  'daily check': false,
  watch: true,
  recovery: true,
  'media recovery': true,
  'table repair': true,
  'table freeze': true,
};

function approversOf(config: Config, cluster: string | null, action: string): readonly string[] {
  return (cluster === null ? undefined : config.clusters[cluster]?.approvals[action]?.from) ?? [];
}
