import { z } from 'zod';
import { notifyEvents } from '../../domain/notification/notices.js';
import { notifierKinds } from '../../notifiers/registry.js';
import { dictionary, later, mapValues, present, reference } from './fields.js';
import type { KnownNames } from '../known-names.js';

/** Keys of a contact that are no address of a notifier of this file. */
const ownKeys = {
  name: z.string().min(1).optional().describe('Name in full, for readers of this file.'),
  principal: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Whom the authorizer of the Temporal server knows this person as, for match_principal: NAME or TYPE:NAME.',
    ),
  phone: z.string().min(1).optional().describe('Telephone, for readers of this file.'),
};
/** Addresses that may be in a file before it has a notifier for them. */
const usualAddresses = {
  mail: z
    .array(z.email({ error: 'expected a mail address' }))
    .min(1)
    .optional()
    .describe('Mail addresses.'),
  pagerduty: z.string().min(1).optional().describe('PagerDuty service.'),
  slack: z.string().min(1).optional().describe('Slack channel.'),
};
export const reservedNotifierNames: readonly string[] = Object.keys(ownKeys);

const areas = ['backup', 'recover', 'drill', 'table-repair'] as const;
const roles = ['responsible', 'accountable', 'support', 'consulted', 'informed'] as const;

/** One text or a list of them. */
const oneOrMore = <V extends z.ZodType<string>>(value: V) =>
  z.preprocess((given) => (typeof given === 'string' ? [given] : given), z.array(value).min(1));

/** Schema of `contacts`: besides a name each has addresses, under the names of the notifiers of the file. */
export function contactsSchema({ notifiers }: KnownNames) {
  const addresses = Object.entries(notifiers)
    .filter(([name]) => !reservedNotifierNames.includes(name))
    .map(([name, type]) => {
      const address =
        (Object.hasOwn(notifierKinds, type) ? notifierKinds[type]?.address : undefined) ?? z.string().min(1);
      return [name, oneOrMore(address).optional().describe(`Addresses for the notifier ${name}.`)];
    });
  // The keys are known at run time only.
  const contact = z.strictObject({ ...ownKeys, ...usualAddresses, ...(Object.fromEntries(addresses) as object) });
  return dictionary('contact', contact as z.ZodType<Readonly<Record<string, unknown>>>).transform((contacts) =>
    mapValues(contacts, (settings) => settings),
  );
}

/** Schema of `notify`: by which notifiers people are told of an event. */
export function notifySchema({ notifiers }: KnownNames) {
  const list = z
    .array(reference('notifier', 'notifiers', Object.keys(notifiers)))
    .min(1)
    .optional();
  const events = Object.fromEntries(notifyEvents.map((event) => [event, list])) as Record<
    (typeof notifyEvents)[number],
    typeof list
  >;
  return z.strictObject({ ...events, 'missed-run': later('missed-run', 'reports of missed runs') });
}

/** Schema of `raci`: who has which part in what, read as contacts by area, whoever is responsible first, each once. */
export function raciSchema({ contacts }: KnownNames) {
  const people = oneOrMore(reference('contact', 'contacts', contacts)).optional();
  const parts = z
    .strictObject(
      Object.fromEntries(roles.map((role) => [role, people])) as Record<(typeof roles)[number], typeof people>,
    )
    .transform((named): readonly string[] => [...new Set(roles.flatMap((role) => named[role] ?? []))]);
  return z
    .strictObject(
      Object.fromEntries(areas.map((area) => [area, parts.optional()])) as Record<
        (typeof areas)[number],
        z.ZodOptional<typeof parts>
      >,
    )
    .transform((named) => present<readonly string[]>(named));
}
