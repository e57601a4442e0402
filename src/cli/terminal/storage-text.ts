import type { AcceptedRepository } from '../../domain/operation/inspections.js';
import { storageChanges, diffOf } from '../../domain/storage/storage-plan.js';
import type { AppliedSetting, StoragePlan, StorageSetting } from '../../domain/storage/storage-plan.js';
import type { StorageUsage } from '../../domain/storage/storage-usage.js';
import { sizeInWords, visible } from '../../domain/text/text.js';
import type { Cli } from '../cli-context.js';
import { type Screen, screenTable } from './tables.js';

/** What came of a repository, and its plan as it is now. */
export type AppliedPlan = StoragePlan & { readonly applied: readonly AppliedSetting[] };

type Painter = Pick<Cli, 'terminal' | 'command'>;

/** Each repository with its settings as a diff, what to know, and what to type. */
export function storagePlansText(cli: Painter, plans: readonly StoragePlan[]): string {
  return plans.map((plan) => planText(cli, plan)).join('\n\n');
}

/** What was done, and what is still otherwise than wanted. */
export function appliedText(cli: Painter, plans: readonly AppliedPlan[]): string {
  return plans
    .map((plan) => {
      const lines = plan.applied.map(
        ({ name, done, detail }) =>
          `  ${done ? cli.terminal.paint('green', 'set    ', 'out') : cli.terminal.paint('red', 'refused', 'out')}  ${name}${detail === undefined ? '' : `: ${visible(detail)}`}`,
      );
      return [heading(cli, plan), ...(lines.length === 0 ? ['  nothing to change'] : lines)].join('\n');
    })
    .join('\n\n');
}

function heading(cli: Painter, { repository, place, host }: StoragePlan): string {
  return `${cli.terminal.paint('bold', repository, 'out')}: ${visible(place)}, seen from host ${host}`;
}

function planText(cli: Painter, plan: StoragePlan): string {
  const { paint } = cli.terminal;
  const changes = storageChanges(plan).length;
  const notes = plan.notes.map(({ level, text, hint }) => {
    const mark = level === 'warning' ? paint('yellow', 'warning:', 'out') : 'note:';
    return `  ${mark} ${visible(text)}${hint === undefined ? '' : `\n      ${visible(hint)}`}`;
  });
  const refusals = plan.refusals.map(
    ({ text, hint }) => `  ${paint('red', 'refused:', 'out')} ${visible(text)}\n      ${visible(hint)}`,
  );
  const next =
    plan.refusals.length > 0
      ? 'apply refuses this until one of the two is changed.'
      : changes === 0
        ? 'nothing to change'
        : `${changes} ${changes === 1 ? 'setting' : 'settings'} to change: ${cli.command('storage', 'apply', plan.repository)}`;
  return [
    heading(cli, plan),
    ...plan.settings
      .filter(({ is, wanted }) => is.length + wanted.length > 0)
      .map((setting) => settingText(cli, setting)),
    ...notes,
    ...refusals,
    next,
  ].join('\n');
}

const colors = { '+': 'green', '-': 'red' } as const;

function settingText({ terminal }: Painter, setting: StorageSetting): string {
  const { name, verdict, detail } = setting;
  const lines = verdict === 'lacking' ? setting.wanted.map((line) => `? ${line}`) : diffOf(setting);
  const painted = lines.map((line) => {
    const color = colors[line[0] as keyof typeof colors];
    return `    ${color === undefined ? visible(line) : terminal.paint(color, visible(line), 'out')}`;
  });
  const why = detail === undefined ? [] : [`    ${terminal.paint('yellow', visible(detail), 'out')}`];
  return [`  ${name}`, ...painted, ...why].join('\n');
}

/** What a repository holds, row by row, and the sum. */
export function usageText(
  { terminal }: Painter,
  { repository, host, currency, rows, total }: StorageUsage,
  screen: Screen,
): string {
  const money = (cost: number | null): string => (cost === null ? '-' : `${cost.toFixed(2)} ${currency ?? ''}`);
  const cells = [
    ...rows.map((row) => [
      row.cluster ?? '(no cluster)',
      row.storageClass,
      row.state,
      String(row.objects),
      sizeInWords(row.bytes),
      money(row.monthlyCost),
    ]),
    ['all', '', '', String(total.objects), sizeInWords(total.bytes), money(total.monthlyCost)],
  ];
  const unpriced = [
    ...new Set(rows.filter(({ monthlyCost }) => monthlyCost === null).map(({ storageClass }) => storageClass)),
  ];
  const hint =
    unpriced.length === 0
      ? ''
      : `\nno price is known for ${unpriced.join(', ')}: add ${unpriced.length === 1 ? 'it' : 'them'} to \`prices: { per_gb_month: { ... } }\` of this repository`;
  return `${terminal.paint('bold', repository, 'out')}, seen from host ${host}\n${screenTable(['cluster', 'class', 'state', 'objects', 'size', 'a month'], cells, screen)}${hint}`;
}

export function acceptedText(repositories: readonly AcceptedRepository[], dryRun: boolean): string {
  return repositories
    .map(({ name, where, knownId, id }) => {
      if (id !== null && id === knownId) return `${name} at ${where} is the known repository: nothing to do`;
      const known = knownId === null ? 'no repository is known' : `known was ${knownId}`;
      return `${name} at ${where}: ${id ?? 'a new identity is made there'} ${dryRun ? 'would be' : 'is'} used from now on (${known})`;
    })
    .join('\n');
}
