import type { RecoveryOutcome } from '../../domain/backup/records.js';
import type { ClusterConfig, Config } from '../../domain/config.js';
import { isLoopback } from '../../domain/plain-address.js';
import type { Plan } from '../../domain/plan/plan.js';
import { rpoInWords } from '../../domain/plan/recovery-figures.js';
import { connectionAt } from '../../domain/plan/recovery-place.js';
import { durationInWords, shellWord } from '../../domain/text/text.js';
import type { RecoverOutput } from '../../workflows/api.js';
import { facts, type Screen, screenTable } from './tables.js';

/** What makes commands that a person can paste. */
interface Commands {
  command(...words: readonly string[]): string;
}

/**
 * How a recovery ended: result, where, figures, report, old data, and what to do next.
 * `config`: null where the command found none; then what is to be typed names no addresses.
 */
export function recoveryEndText(
  cli: Commands,
  workflowId: string,
  output: RecoverOutput,
  config: Pick<Config, 'clusters'> | null,
  screen: Screen,
): string {
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
    `next:\n${nextSteps(cli, workflowId, output, config)
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

function nextSteps(
  cli: Commands,
  workflowId: string,
  { plan, outcome }: RecoverOutput,
  config: Pick<Config, 'clusters'> | null,
): readonly string[] {
  const report = `read the report:   ${cli.command('incident', 'report', workflowId)}`;
  const kept = plan?.binding.replaces.some(({ keptAs }) => keptAs !== null)
    ? [`see the old data:  ${cli.command('kept', 'list')}`]
    : [];
  const place = outcome?.place;
  if (!place || place.into === 'in-place') return [report, ...kept];
  const { copy, live } = connectionsOf(place, config?.clusters[plan?.binding.cluster ?? '']);
  return [
    `connect to it:     psql ${copy} DATABASE`,
    `copy a table back: pg_dump ${copy} -t SCHEMA.TABLE DATABASE | psql ${live} DATABASE`,
    ...(place.dataDir === null ? [] : [`stop it:           ${cli.command('beside', 'stop', place.into)}`]),
    `drop it:           ${cli.command('beside', 'drop', place.into)}`,
    report,
    ...kept,
  ];
}

/**
 * How the clients of PostgreSQL reach the copy, and the server that it was made beside, both from the copy's host. What is not
 * known is in capital letters: psql would take its own defaults, and connect to another server.
 */
function connectionsOf(
  { host, port }: NonNullable<RecoveryOutcome['place']>,
  cluster: ClusterConfig | undefined,
): { readonly copy: string; readonly live: string } {
  if (cluster === undefined) return { copy: `-h HOST -p ${port} -U USER`, live: '-h HOST -p PORT -U USER' };
  const { connection } = cluster;
  const isLocalOnly = connection.host.startsWith('/') || isLoopback(connection.host);
  const liveHost = host !== cluster.host && isLocalOnly ? `ADDRESS_OF_${cluster.host.toUpperCase()}` : connection.host;
  const at = (address: string, atPort: number): string =>
    `-h ${shellWord(address)} -p ${atPort} -U ${shellWord(connection.user)}`;
  return {
    copy: at(connectionAt(cluster, { port, targetHost: host }).host, port),
    live: at(liveHost, connection.port),
  };
}
