import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import type { ClusterConfig, Config } from '../../domain/config.js';
import type { DrillCheck, DrillOutcome, DrillPlan } from '../../domain/drill/drill.js';
import { restoreLine } from '../../domain/drill/drill-text.js';
import { RepriseError } from '../../domain/errors.js';
import { formatTarget } from '../../domain/target/target.js';
import { durationInWords } from '../../domain/text/text.js';
import type { DrillOutput } from '../../workflows/api.js';
import * as decisions from '../../client/decide.js';
import { type Drills, findDrill, listDrills, workflowOfDrill } from '../../client/drills.js';
import { runInspection } from '../../client/inspect.js';
import { newOperationId, startDrill } from '../../client/start.js';
import type { StatusView } from '../../client/status.js';
import { type Cli, unknownName } from '../cli-context.js';
import { byOption, collect, parseSeconds, parseTime } from '../common-options.js';
import { define, group } from '../define-command.js';
import { defineEvidence } from './drill-evidence.js';
import { detached, detachedText, interruptible, waitFor } from '../long-operation.js';
import { remember } from '../remember.js';
import { facts, instant, type Screen, screenTable } from '../terminal/tables.js';

interface RunOptions {
  readonly engine?: readonly string[];
  readonly at?: string;
  readonly seed?: string;
  readonly keep?: number;
  readonly by?: string;
}

/** Drills to come that are listed for each cluster. */
const TO_COME = 4;
const drillId = { id: 'of the drill, as `drill list` shows it, or of its workflow' };

/** `reprise drill ...`, and `reprise sign-off` */
export function registerDrill(program: Command, cli: Cli): void {
  const drill = group(program, 'drill', 'restore drills: run, list, show, sign off');
  defineRun(drill, cli);
  define(drill, cli, {
    usage: 'list [cluster]',
    summary: 'list the drills to come, those that run, past ones, and the quality register',
    argumentHelp: { cluster: 'only of this one (default: all)' },
    examples: ['drill list', 'drill list mairie --json'],
    run: async (self, [cluster]) => {
      if (cluster !== undefined) await self.cluster(cluster);
      const found = await self.withTemporal((session) => listDrills(session, cluster));
      // Of one cluster they are not all that there are.
      if (cluster === undefined) await remember(self, found);
      const toCome = await calendar(await self.config(), cluster);
      await self.print({ toCome, ...found }, (view, screen) => listText(view, screen));
    },
  });
  define(drill, cli, {
    usage: 'show <id>',
    summary: 'show what a drill came to: verdict, times, checks, sign-off, evidence, what was not tested',
    argumentHelp: drillId,
    examples: ['drill show 20261004-020000-a1b2c3', 'drill show drill/mairie/20261004-020000-a1b2c3 --json'],
    run: async (self, [id = '']) => {
      const found = await self.withTemporal((session) => findDrill(session, id));
      if ('outcome' in found) return showOutcome(self, found.outcome);
      const { status, open } = found;
      await self.print(
        { drillId: open.drillId, workflowId: open.workflowId, ...NOTHING_YET, state: status.state },
        (_view, screen) => openText(open.drillId, status, screen),
      );
    },
  });
  defineEvidence(drill, cli);
  defineSignOff(drill, cli, {
    usage: 'sign-off <id>',
    argumentHelp: drillId,
    of: 'what a drill restored',
    who: 'drill.sign_off.by names',
    command: 'drill sign-off',
    examples: { pass: '20261004-020000-a1b2c3', fail: '20261004-020000-a1b2c3' },
  });
  defineSignOff(program, cli, {
    usage: 'sign-off <workflow>',
    argumentHelp: { workflow: 'id of the drill or repair that waits for it, as `reprise status` shows it' },
    of: 'what a drill restored, or a repaired table,',
    who: "sign_off.by of the drill or of the table names; after `fail` a repaired table's writes stay blocked for --keep",
    command: 'sign-off',
    examples: { pass: 'table-repair/mairie/20261121-021500-a1b2c3', fail: 'drill/mairie/20261004-020000-a1b2c3' },
  });
}

function defineRun(parent: Command, cli: Cli): void {
  define<RunOptions>(parent, cli, {
    usage: 'run <cluster>',
    summary: 'restore onto staging, check, wait for the sign-off, seal the evidence',
    description:
      'Production is not touched. Exit 8 when the drill does not pass. While it waits for the sign-off this command waits too: --detach and --timeout end the waiting only.',
    argumentHelp: { cluster: 'name of the cluster in reprise.yml, which has a `drill`' },
    examples: [
      'drill run mairie --dry-run',
      'drill run mairie --engine pgbackrest --at random',
      'drill run mairie --engine physical --engine nightly-dump --keep 4h --detach',
    ],
    options: [
      new Option('--engine <name>', 'kind of engine or policy, repeatable (default: as configured)').argParser(collect),
      new Option('--at <when>', 'latest, random, or a time').argParser(parseAt),
      new Option('--seed <hex>', 'of an earlier drill, whose random choice is repeated').argParser(parseSeed),
      new Option('--keep <duration>', 'staging stays so long when the drill has ended').argParser(parseSeconds),
      byOption(),
    ],
    changes: true,
    takesYes: true,
    long: true,
    run: async (self, [cluster = ''], options) => {
      const { drill } = await self.cluster(cluster);
      if (drill === undefined)
        throw new RepriseError(
          'not-found',
          `cluster ${cluster} has no drills`,
          `say where they go in reprise.yml: clusters.${cluster}.drill: { host: HOST, data_dir: DIRECTORY, port: PORT }`,
        );
      const { engine: engines, at, seed, keep: keepSeconds } = options;
      await requireEngines(await self.cluster(cluster), engines ?? []);
      const order = { engines: engines && [...engines], at, seed, keepSeconds };
      const request = { cluster, requester: self.person(options.by), order };
      if (options.dryRun) {
        const question = { kind: 'drill-plan' as const, ...request, operationId: newOperationId() };
        const { plan } = await self.withTemporal((session) =>
          interruptible((signal) => runInspection<'drill-plan'>(session, question, signal), options),
        );
        return self.print({ dryRun: true, workflowId: null, plan }, (view, screen) => planText(view.plan, screen));
      }
      await self.withTemporal(async (session) => {
        const operation = await startDrill(session, request);
        if (options.detach)
          return self.print(await detached(self, session, operation.workflowId), (view, screen) =>
            detachedText(view, screen),
          );
        const { outcome } = await waitFor<DrillOutput>(self, session, operation, options);
        await showOutcome(self, outcome);
        if (outcome.verdict !== 'pass')
          throw new RepriseError(
            'check-failed',
            `the drill ${outcome.verdict === 'fail' ? 'failed' : 'came to no verdict'}: ${outcome.reason ?? 'no reason is known'}`,
            `see its checks: ${self.command('drill', 'show', outcome.drillId)}`,
          );
      });
    },
  });
}

interface SignOffOptions {
  readonly verdict: 'pass' | 'fail';
  readonly remarks?: string;
  readonly keep?: string;
  readonly by?: string;
}

interface SignOffCommand {
  readonly usage: string;
  readonly argumentHelp: Readonly<Record<string, string>>;
  /** What is signed off, and whose word counts. */
  readonly of: string;
  readonly who: string;
  readonly command: string;
  readonly examples: Readonly<Record<'pass' | 'fail', string>>;
}

function defineSignOff(parent: Command, cli: Cli, signOff: SignOffCommand): void {
  const { usage, argumentHelp, command, of, who, examples } = signOff;
  define<SignOffOptions>(parent, cli, {
    usage,
    summary: `say whether ${of} is good`,
    description: `Only for those whom ${who}; the first word counts.`,
    argumentHelp,
    examples: [
      `${command} ${examples.pass} --verdict pass --by qa --remarks "appointments of today are there"`,
      `${command} ${examples.fail} --verdict fail --remarks "no photos" --keep 4h`,
    ],
    options: [
      new Option('--verdict <verdict>', 'what you say').choices(['pass', 'fail']).makeOptionMandatory(),
      new Option('--remarks <text>', 'what you saw; it is part of the evidence or the report'),
      new Option('--keep <duration>', 'staging, or the block of writes after `fail`, stays so long').argParser(
        (text) => {
          parseSeconds(text);
          return text;
        },
      ),
      byOption(),
    ],
    changes: true,
    run: async (self, [id = ''], { verdict, remarks, keep, by, dryRun }) => {
      const said = { verdict, by: self.person(by), ...(remarks && { remarks }), ...(keep && { keep }) };
      await self.withTemporal(async (session) => {
        const workflowId = await workflowOfDrill(session, id);
        if (dryRun) await decisions.requireWaitingForSignOff(session, workflowId);
        else await decisions.signOff(session, workflowId, said);
        await self.print({ dryRun, workflowId, signOff: said }, ({ signOff }) =>
          [
            `${dryRun ? 'would sign' : 'signed'} ${workflowId} off as ${signOff.by}: ${signOff.verdict}`,
            ...(dryRun ? [] : [`  follow it: ${self.command('watch', workflowId)}`]),
          ].join('\n'),
        );
      });
    },
  });
}

/** When drills are due next. */
async function calendar(
  { clusters }: Config,
  only: string | undefined,
): Promise<readonly { readonly cluster: string; readonly dueAt: string }[]> {
  const { nextRuns } = await import('../../config/schedule.js');
  return Object.values(clusters)
    .filter(({ name }) => only === undefined || name === only)
    .flatMap(({ name: cluster, drill }) =>
      drill === undefined
        ? []
        : nextRuns(drill.schedule, new Date(), TO_COME).map((at) => ({ cluster, dueAt: at.toISOString() })),
    );
}

function listText(
  { toCome, running, drills, register, lostEvidence }: Drills & { toCome: Awaited<ReturnType<typeof calendar>> },
  screen: Screen,
): string {
  const open = register.filter(({ closedBy }) => closedBy === null);
  const parts = [
    screenTable(
      ['drill', 'when', 'verdict', 'RTO'],
      [
        ...toCome.map(({ cluster, dueAt }) => [`of ${cluster}`, instant(dueAt), 'to come', '-']),
        ...running.map((one) => [one.drillId, instant(one.startedAt), one.state, '-']),
        ...drills
          .toReversed()
          .map((one) => [
            one.drillId,
            instant(one.startedAt),
            one.verdict,
            rtoOf(one) === null ? '-' : durationInWords(rtoOf(one) ?? 0),
          ]),
      ],
      screen,
    ),
    ...running.filter(({ state }) => state === 'waiting-sign-off').map(signOffLines),
    open.length === 0
      ? 'quality register: no open entry'
      : `quality register, open:\n${open
          .map(({ id, text, owner, dueAt }) =>
            facts(
              [
                ['entry', id],
                ['what', text],
                ['owner', owner ?? 'nobody is named: raci.drill'],
                ['due', instant(dueAt)],
              ],
              screen,
            ),
          )
          .join('\n\n')}`,
    ...(lostEvidence.length === 0
      ? []
      : [`evidence is missing:\n${lostEvidence.map(({ cluster, text }) => `  ${cluster}: ${text}`).join('\n')}`]),
  ];
  return parts.join('\n\n');
}

/** What whoever reads the list types next. */
function signOffLines({ drillId: id }: Drills['running'][number]): string {
  return `${id} waits for its sign-off:
  where to look: reprise drill show ${id}
  then: reprise drill sign-off ${id} --verdict pass --by NAME --remarks "what you saw", or --verdict fail`;
}

const NOTHING_YET = {
  ...{ verdict: null, signOff: null, target: null, rtoSeconds: null, rpoSeconds: null, checks: [], evidence: null },
};

/** The slowest of its restores. */
function rtoOf({ restores }: DrillOutcome): number | null {
  return restores.length === 0 ? null : Math.max(...restores.map(({ rtoSeconds }) => rtoSeconds));
}

function showOutcome(cli: Cli, outcome: DrillOutcome): Promise<void> {
  const last = outcome.restores.at(-1);
  const target = last && {
    requested: last.target === undefined ? null : formatTarget(last.target),
    reached: last.reached,
  };
  return cli.print({ ...outcome, target: target ?? null, rtoSeconds: rtoOf(outcome) }, (_view, screen) =>
    outcomeText(outcome, screen),
  );
}

function outcomeText(outcome: DrillOutcome, screen: Screen): string {
  const { verdict, reason, restores, checks, signOff, evidence, notTested, rpoSeconds } = outcome;
  const rto = rtoOf(outcome);
  return [
    facts(
      [
        ['drill', outcome.drillId],
        ['verdict', `${verdict}${reason === null ? '' : `: ${reason}`}`],
        ['began', instant(outcome.startedAt)],
        ['ended', instant(outcome.finishedAt)],
        ['RTO', rto === null ? null : durationInWords(rto)],
        ['RPO', rpoSeconds === null ? null : durationInWords(rpoSeconds)],
        ['signed off', signOff === null ? 'by nobody' : signOffText(signOff)],
        ['evidence', evidence === null ? 'none' : `${evidence.path}${evidence.signed ? ', signed' : ', not signed'}`],
        ['manifest', evidence === null ? null : `${evidence.sha256} (SHA-256)`],
        ['seed', outcome.seed || null],
      ],
      screen,
    ),
    ...(restores.length === 0
      ? []
      : [
          screenTable(
            ['restored', 'engine', 'reached', 'seconds', 'predicted'],
            restores.map((one) => [one.policy, one.engine, one.reached, one.rtoSeconds.toFixed(1), predictedText(one)]),
            screen,
          ),
        ]),
    ...(checks.length === 0 ? [] : [screenTable(['check', 'of', 'status', 'found'], checks.map(checkRow), screen)]),
    ...(notTested.length === 0
      ? []
      : [`not tested:\n${notTested.map(({ kind, name, reason: why }) => `  ${kind} ${name}: ${why}`).join('\n')}`]),
  ].join('\n\n');
}

/** What the plan predicted, and by how much it was wrong. */
export function predictedText({ predicted, rtoSeconds }: DrillOutcome['restores'][number]): string {
  if (predicted === null) return 'nothing was measured before';
  const { p50, p90 } = predicted;
  const error = Math.round((100 * (rtoSeconds - p50)) / Math.max(p50, 0.001));
  return `${p50} s, at most ${p90} s in nine of ten cases; it took ${Math.abs(error)} % ${error < 0 ? 'less' : 'more'}`;
}

function signOffText({ by, at, verdict, remarks }: NonNullable<DrillOutcome['signOff']>): string {
  return `by ${by}, ${instant(at)}: ${verdict}${remarks === null ? '' : `, ${remarks}`}`;
}

function checkRow({ name, policy, status, detail, hint }: DrillCheck): readonly string[] {
  return [name, policy, status, hint === undefined ? detail : `${detail} (${hint})`];
}

function openText(id: string, { state, phase, waitingFor }: StatusView, screen: Screen): string {
  return facts(
    [
      ['drill', id],
      ['state', `${state}${phase === null ? '' : `, ${phase}`}`],
      ['waits for', waitingFor],
    ],
    screen,
  );
}

function planText({ place, restores, unrestorable = [], seed, notTested }: DrillPlan, screen: Screen): string {
  return [
    facts(
      [
        ['staging', `host ${place.host}, ${place.dataDir}, port ${place.port}: it is emptied`],
        ...restores.map((one, index) => [`${index + 1}.`, restoreLine(one)] as const),
        ...unrestorable.map(({ policy, engine, reason }) => ['fails', `${policy} (${engine}): ${reason}`] as const),
        ['seed', seed],
      ],
      screen,
    ),
    ...notTested.map(({ kind, name, reason }) => `not tested: ${kind} ${name}: ${reason}`),
  ].join('\n');
}

/** Before anything is started: without a worker, a drill waits for one until it could say so. @throws RepriseError `not-found` */
async function requireEngines({ name, policies }: ClusterConfig, engines: readonly string[]): Promise<void> {
  const known = [...new Set(Object.values(policies).flatMap((policy) => [policy.name, policy.engine]))];
  const unknown = engines.find((engine) => !known.includes(engine));
  if (unknown !== undefined)
    throw await unknownName(
      `cluster ${name} has no policy of that name or engine: ${JSON.stringify(unknown)}`,
      unknown,
      known,
      'policies and engines',
    );
}

/** `latest`, `random`, or a time in any form that a person writes, as UTC. */
function parseAt(text: string): string {
  if (text === 'latest' || text === 'random') return text;
  try {
    return parseTime(text);
  } catch (error) {
    // A time that is one, such as an hour that daylight saving leaves out, has its own hint.
    if (!/^[a-z]/i.test(text)) throw error;
    throw new RepriseError(
      'target-invalid',
      `${JSON.stringify(text)} is no instant of a drill`,
      'it is latest, random, or a time: --at 2026-11-21T02:15:00Z',
    );
  }
}

function parseSeed(text: string): string {
  if (/^[0-9a-f]{16,64}$/.test(text)) return text;
  throw new InvalidArgumentError('It is 16 to 64 hex digits, as `drill show` shows it.');
}
