import { notifierKinds } from '../../notifiers/registry.js';
import type { Problem } from '../problem.js';
import { reservedNotifierNames } from '../schema/people.js';
import type { SettledConfig } from '../resolve-defaults.js';

/** What is wrong between events, notifiers and contacts: somebody would wait for a message that never comes. */
export function checkPeople(config: SettledConfig): Problem[] {
  const reserved = Object.keys(config.notifiers)
    .filter((name) => reservedNotifierNames.includes(name))
    .map((name) => ({
      path: ['notifiers', name],
      message: `a notifier may not be named ${name}`,
      hint: 'contacts have a key of that name',
    }));
  return [
    ...reserved,
    ...Object.entries(config.notify).flatMap(([event, notifiers]) => checkEvent(config, event, notifiers ?? [])),
  ];
}

function checkEvent({ notifiers, contacts }: SettledConfig, event: string, named: readonly string[]): Problem[] {
  return named.flatMap((name, index): Problem[] => {
    const path = ['notify', event, index];
    if (named.indexOf(name) !== index)
      return [{ path, message: `notifier "${name}" stands here twice`, hint: 'keep one of them' }];
    const needsAddress = (notifierKinds[notifiers[name]?.type ?? '']?.address ?? null) !== null;
    if (!needsAddress || Object.values(contacts).some((contact) => contact[name] !== undefined)) return [];
    return [
      {
        path,
        message: `nobody can be told by ${name}: no contact has an address for it`,
        hint: `add contacts: { NAME: { ${name}: [ADDRESS] } }`,
      },
    ];
  });
}
