import type { RecoveryOutcome } from '../../domain/backup/records.js';
import type { Plan } from '../../domain/plan/plan.js';
import { rpoInWords } from '../../domain/plan/recovery-figures.js';
import { durationInWords } from '../../domain/text/text.js';
import type { RecoverOutput } from '../../workflows/api.js';
import { facts, type Screen, screenTable } from './tables.js';

/** What makes commands that a person can paste. */
interface Commands {
  command(...words: readonly string[]): string;
}

/** How a recovery ended: result, where, figures, report, old data, and what to do next. */
export function recoveryEndText(cli: Commands, workflowId: string, output: RecoverOutput, screen: Screen): string {
  const { state, plan, outcome, left = '', nothingToDo } = output;
  if (nothingToDo !== undefined) return `${workflowId}: ${nothingToDo}`;
  if (outcome === null)
    return `${workflowId}: ${state} (${plan === null ? 'no plan was made' : `plan ${plan.digest.slice(0, 12)}`}). ${left}`.trimEnd();
  const checks = outcome.checks.map(({ name, status, detail }) => [name, status, detail]);
  return [
    facts(
      [
        ['recovered to', outcome.target.reached],
        ['asked for', outcome.target.requested],
        ['where', placeInWords(outcome.place)],
        ['RTO', durationInWords(outcome.rtoSeconds)],
        ['waited for people', durationInWords(outcome.waitedForPeopleSeconds)],
        ['RPO', rpoInWords(outcome)],
        ['report', outcome.report],
        ['old data', oldDataInWords(plan)],
      ],
      screen,
    ),
    checks.length > 0 ? screenTable(['check', 'status', 'detail'], checks, screen) : '',
    `next:\n${nextSteps(cli, workflowId, output)
      .map((step) => `  ${step}`)
      .join('\n')}`,
  ]
    .filter(Boolean)
    .join('\n\n');
}

function placeInWords(place: RecoveryOutcome['place']): string | null {
  if (place === undefined) return null;
  const { into, host, port, dataDir } = place;
  const directory = dataDir === null ? '' : `, ${dataDir}`;
  return `${into === 'in-place' ? 'in place' : `beside, as ${into}`}: host ${host}, port ${port}${directory}`;
}

function oldDataInWords(plan: Plan | null): string {
  const kept = (plan?.binding.replaces ?? []).map(({ what, keptAs }) =>
    keptAs === null ? `${what} was overwritten` : `${what} is kept as ${keptAs}`,
  );
  return kept.length === 0 ? 'nothing was replaced' : kept.join('; ');
}

function nextSteps(cli: Commands, workflowId: string, { plan, outcome }: RecoverOutput): readonly string[] {
  const report = `read the report:   ${cli.command('incident', 'report', workflowId)}`;
  const kept = plan?.binding.replaces.some(({ keptAs }) => keptAs !== null)
    ? [`see the old data:  ${cli.command('kept', 'list')}`]
    : [];
  const place = outcome?.place;
  if (!place || place.into === 'in-place' || place.dataDir === null) return [report, ...kept];
  return [
    `connect to it:     psql -p ${place.port} DATABASE`,
    `copy a table back: pg_dump -p ${place.port} -t SCHEMA.TABLE DATABASE | psql DATABASE`,
    `stop it:           ${cli.command('beside', 'stop', place.into)}`,
    `drop it:           ${cli.command('beside', 'drop', place.into)}`,
    report,
    ...kept,
  ];
}
