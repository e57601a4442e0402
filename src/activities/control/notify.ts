import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { Config } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { eventOf, type Notice, type NotifyEvent, notifyEvents } from '../../domain/notification/notices.js';
import { noticeText } from '../../domain/notification/notice-text.js';
import { addressesOf, deliveriesOf, notifiersFor } from '../../domain/notification/recipients.js';
import { webUiLink } from '../../domain/operation/names.js';
import type { NotifierMessage, Recipient } from '../../notifiers/notifier.js';
import type { ControlActivities } from '../api.js';
import type { ControlDependencies } from '../dependencies.js';
import { wrapActivity } from '../activity-wrapper.js';

/** Notifies people, on the queue `reprise`: the host of the work may be the one that is dead. */
export function notifyingActivities(deps: ControlDependencies): Pick<ControlActivities, 'deliveriesOf' | 'sendNotice'> {
  const { config } = deps;
  return {
    deliveriesOf: wrapActivity('deliveriesOf', async ({ notice }) => deliveriesOf(config, notice)),
    sendNotice: wrapActivity('sendNotice', async ({ notice, delivery }, { signal }) => {
      const notifier = config.notifiers[delivery.notifier];
      if (!notifier)
        throw new RepriseError(
          'config-invalid',
          `there is no notifier "${delivery.notifier}" in the config`,
          `notifiers: ${Object.keys(config.notifiers).join(', ') || 'none'}`,
        );
      const named = (contacts: readonly string[]) =>
        contacts.map((contact) => ({ contact, addresses: addressesOf(config, contact, notifier.name) }));
      const message = messageOf(
        notice,
        notifier.name,
        named(delivery.first),
        named(delivery.others),
        await pageOf(deps, notice.workflowId),
      );
      const { refused, detail } = await deps
        .notifierOf(notifier.type)
        .send({ message, secret: deps.secret, signal }, notifier.options);
      const reached = ({ addresses }: Recipient): boolean =>
        !notifier.addressed || addresses.some((address) => !refused.includes(address));
      const all = [...message.first, ...message.others];
      return {
        told: all.filter(reached).map(({ contact }) => contact),
        notTold: all.filter((one) => !reached(one)).map(({ contact }) => contact),
        refused: refused.length,
        detail,
      };
    }),
  };
}

/** Page of the latest run in the Web UI, so that it opens on the tab with the text. */
async function pageOf(deps: ControlDependencies, workflowId: string): Promise<string> {
  const context = Context.current();
  const latestRun = async (): Promise<string> => (await context.client.workflow.getHandle(workflowId).describe()).runId;
  const place = { webUi: webUiOf(deps), namespace: context.info.workflowNamespace ?? 'default' };
  // People are told in any case.
  return webUiLink(place, workflowId, await latestRun().catch(() => undefined));
}

function webUiOf({ config, webUi }: ControlDependencies): string {
  return webUi ?? config.temporal.webUi;
}

/** The message to one notifier; made the same in every attempt, for the same ids. */
function messageOf(
  notice: Notice,
  notifier: string,
  first: readonly Recipient[],
  others: readonly Recipient[],
  link: string,
): NotifierMessage {
  const { cluster, operationId, workflowId, key, at, facts } = notice;
  return {
    id: digest(`${operationId}/${key}/${notifier}`),
    thread: digest(operationId),
    event: eventOf(facts) ?? 'test',
    cluster,
    workflowId,
    at,
    link,
    first,
    others,
    ...noticeText(notice, link),
    ...(facts.kind === 'run' ? { run: { work: facts.work, state: facts.state } } : {}),
  };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Events that somebody is told of: workflows start nothing for the others. */
export function toldEvents(config: Config): readonly NotifyEvent[] {
  return [...notifyEvents, 'run' as const].filter((event) => notifiersFor(config, event).length > 0);
}
