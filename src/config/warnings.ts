import type { Config } from '../domain/config.js';
import type { Problem } from './problem.js';
import { isHookStep } from './resolve-defaults.js';
import type { ConfigText } from './schema/schema.js';

/** What the file says and this version does not act on: it is told, because it would be ignored without a word. */
export function warningsOf(text: ConfigText, config: Omit<Config, 'warnings'>): readonly Problem[] {
  return [
    ...languageWarnings(text),
    ...raciWarnings(config),
    ...addressWarnings(config),
    ...unusedHookWarnings(config),
    ...hookHostWarnings(config),
  ];
}

function languageWarnings({ language }: ConfigText): Problem[] {
  if (language === 'en') return [];
  return [
    {
      path: ['language'],
      message: 'French is not available yet: reports and messages are in English',
      hint: 'write language: en, or remove the line',
    },
  ];
}

/** Areas that the schema knows for what is to come. */
function raciWarnings({ raci }: Pick<Config, 'raci'>): Problem[] {
  return Object.entries({ drill: 'restore drills', 'table-repair': 'table repairs' })
    .filter(([area]) => raci[area] !== undefined)
    .map(([area, what]) => ({
      path: ['raci', area],
      atKey: true,
      message: `raci.${area} does nothing yet: ${what} come with a later version`,
      hint: 'remove it, or keep it for that version',
    }));
}

/** Addresses for notifiers of which there is no kind yet. Mail has one; without it `notify` names nobody. */
function addressWarnings({ contacts, notifiers }: Pick<Config, 'contacts' | 'notifiers'>): Problem[] {
  return Object.entries(contacts).flatMap(([contact, addresses]) =>
    ['pagerduty', 'slack']
      .filter((kind) => addresses[kind] !== undefined && notifiers[kind] === undefined)
      .map((kind) => ({
        path: ['contacts', contact, kind],
        atKey: true,
        message: `nothing is sent to the ${kind} address of ${contact}: there is no notifier ${kind}`,
        hint: `remove it, or add a notifier of that name, e.g. notifiers: { ${kind}: { type: webhook, ... } }`,
      })),
  );
}

/** A hook runs as the step of its name, or as the undo of one that does. */
function unusedHookWarnings({ clusters }: Pick<Config, 'clusters'>): Problem[] {
  return Object.values(clusters).flatMap(({ name, hooks, recovery }) => {
    const steps: readonly string[] = recovery.steps;
    const undone = Object.values(hooks).map(({ undo }) => undo);
    return Object.keys(hooks)
      .filter((hook) => !steps.includes(hook) && !undone.includes(hook))
      .map((hook) => ({
        path: ['clusters', name, 'hooks', hook],
        message: `the hook ${hook} never runs`,
        hint: isHookStep(hook)
          ? `add ${hook} to recovery.steps, or remove the hook`
          : 'a recovery runs stop-applications, start-applications and the hooks that their undo: names',
      }));
  });
}

/** Hooks are steps of a recovery in place. */
function hookHostWarnings({ clusters }: Pick<Config, 'clusters'>): Problem[] {
  return Object.values(clusters).flatMap(({ name, host, hooks }) =>
    Object.values(hooks)
      .filter((hook) => hook.host !== host)
      .map((hook) => ({
        path: ['clusters', name, 'hooks', hook.name, 'host'],
        atKey: true,
        message: `host of the hook ${hook.name} has no effect: hooks run on the host of the cluster, ${host}`,
        hint: `take it out; to run a program on ${hook.host}, call it from the hook, e.g. argv: [ssh, ${hook.host}, ...]`,
      })),
  );
}
