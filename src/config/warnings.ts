import type { Config } from '../domain/config.js';
import { unreachedWarnings } from './check-drills.js';
import { isReportLanguage } from '../domain/text/languages.js';
import type { Problem } from './problem.js';
import { isHookStep } from './resolve-defaults.js';
import { runsAtClockChanges } from './schedule.js';
import { type ClockChange, clockChanges } from '../domain/target/instant.js';

const YEAR_DAYS = 366;

/** What the file says and this version does not act on: it is told, because it would be ignored without a word. */
export function warningsOf(config: Omit<Config, 'warnings'>): readonly Problem[] {
  return [
    ...languageWarnings(config),
    ...addressWarnings(config),
    ...unusedHookWarnings(config),
    ...hookHostWarnings(config),
    ...clockChangeWarnings(config),
    ...unreachedWarnings(config),
  ];
}

function languageWarnings({ language }: Pick<Config, 'language'>): Problem[] {
  if (isReportLanguage(language)) return [];
  return [
    {
      path: ['language'],
      message: 'French is not available yet: reports and messages are in English',
      hint: 'write language: en, or remove the line',
    },
  ];
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

/** Temporal runs what the clocks show: not at a time that they jump over, and twice at one that they show twice. */
function clockChangeWarnings({ clusters }: Pick<Config, 'clusters'>): Problem[] {
  const changes = new Map<string, readonly ClockChange[]>();
  const policies = Object.values(clusters).flatMap(({ name, policies: own }) =>
    Object.values(own).map((policy) => ({ cluster: name, name: policy.name, schedule: policy.schedule })),
  );
  return policies.flatMap(({ cluster, name, schedule }) => {
    const { cron, timezone } = schedule ?? {};
    if (cron === undefined || timezone === undefined) return [];
    const known = changes.get(timezone) ?? clockChanges(timezone, new Date(), YEAR_DAYS);
    changes.set(timezone, known);
    const { leftOut, twice } = runsAtClockChanges(cron, known);
    const said = [
      ...(leftOut.length > 0 ? [`is left out on ${leftOut.join(', ')}`] : []),
      ...(twice.length > 0 ? [`runs twice on ${twice.join(', ')}`] : []),
    ];
    if (said.length === 0) return [];
    return [
      {
        path: ['clusters', cluster, 'backups', name, 'schedule', 'timezone'],
        message: `this schedule ${said.join(' and ')}, when the clocks of ${timezone} are changed`,
        hint: 'choose a time outside of the hour in which clocks are changed, or take timezone out: then it is UTC',
      },
    ];
  });
}

/** A hook runs as the step of its name, or as the undo of one that does. */
function unusedHookWarnings({ clusters }: Pick<Config, 'clusters'>): Problem[] {
  return Object.values(clusters).flatMap(({ name, hooks, recovery, tables = {} }) => {
    const steps: readonly string[] = [...recovery.steps, ...Object.values(tables).flatMap((table) => table.hooks)];
    const undone = Object.values(hooks).map(({ undo }) => undo);
    return Object.keys(hooks)
      .filter((hook) => !steps.includes(hook) && !undone.includes(hook))
      .map((hook) => ({
        path: ['clusters', name, 'hooks', hook],
        message: `the hook ${hook} never runs`,
        hint: isHookStep(hook)
          ? `add ${hook} to recovery.steps, or remove the hook`
          : 'a recovery runs stop-applications, start-applications and the hooks that their undo: names; a repair of a table those under its hooks:',
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
