import type { DrillCheck, DrillOutcome, DrillPlan, NotTested, PlannedRestore } from '../../domain/drill/drill.js';
import { formatTarget } from '../../domain/target/target.js';
import { durationInWords, sizeInWords } from '../../domain/text/text.js';
import type { BarChart, Block, ChartLimit, Inline, ReportDocument, Section, TrendChart } from '../document/document.js';
import type { DrillSentences } from './sentences/sentences.js';

/** Drills that a trend goes back. */
const MOST_DRILLS = 16;

/** What the report of a drill is written from: what the host has kept, and nothing else. */
export interface DrillReportInput {
  readonly plan: DrillPlan;
  readonly outcome: Omit<DrillOutcome, 'evidence'>;
  readonly failures: readonly {
    readonly step: string;
    readonly code: string;
    readonly text: string;
    readonly at: string;
  }[];
  /** Of the cluster, in seconds; null: none. */
  readonly objectives: { readonly rtoSeconds: number | null; readonly rpoSeconds: number | null };
  readonly versions: readonly { readonly name: string; readonly version: string }[];
  /** Somebody was asked to sign it off. */
  readonly asksSignOff: boolean;
  /** Fingerprint of the key that signs the evidence; null: none does. */
  readonly signer: string | null;
  /** Drills of this cluster before, oldest first. */
  readonly history: readonly Pick<DrillOutcome, 'drillId' | 'finishedAt' | 'verdict' | 'restores'>[];
}

type Say = DrillSentences;
type Restored = DrillOutcome['restores'][number];

/** The report of a drill, in sentences of one language; times are UTC. */
export function drillDocument(input: DrillReportInput, say: Say): ReportDocument {
  const { plan, outcome } = input;
  const count = (status: DrillCheck['status']) => outcome.checks.filter((check) => check.status === status).length;
  const sections: readonly Section[] = [
    notTested(outcome.notTested, say),
    objectives(input, say),
    failures(input, say),
    phases(input, say),
    prediction(input, say),
    trend(input, say),
    checks(input, say),
    restored(input, say),
    signOff(input, say),
    versions(input, say),
    evidence(input, say),
  ].filter(({ blocks }) => blocks.length > 0);
  return {
    language: say.language,
    title: say.title(plan.cluster),
    verdict: { kind: outcome.verdict, text: say.verdicts[outcome.verdict] },
    summary: say.summary({
      verdict: outcome.verdict,
      ...{ restores: outcome.restores.length, planned: plan.restores.length + (plan.unrestorable ?? []).length },
      ...{ passed: count('passed'), failed: count('failed'), skipped: count('skipped') },
      notTested: outcome.notTested.length,
    }),
    facts: [
      [say.words.cluster, [{ code: plan.cluster }]],
      [say.words.drill, [{ code: outcome.drillId }]],
      ...(outcome.reason === null ? [] : [[say.words.reason, [outcome.reason]] as const]),
      [say.words.started, [outcome.startedAt]],
      [say.words.finished, [outcome.finishedAt]],
      [say.words.requester, [plan.requester]],
      [say.words.place, [{ code: plan.place.host }, ', ', { code: plan.place.dataDir }, `, ${plan.place.port}`]],
      [say.words.plan, [{ code: plan.digest }]],
    ],
    sections,
  };
}

function notTested(left: readonly NotTested[], say: Say): Section {
  const blocks: Block[] =
    left.length === 0
      ? [{ kind: 'text', text: [say.allTested] }]
      : [
          table(
            [say.words.what, say.words.name, say.words.reason],
            left.map(({ kind, name, reason }) => [[say.kinds[kind]], [{ code: name }], [reason]]),
          ),
        ];
  return { title: say.sections.notTested, prominent: true, blocks };
}

function objectives({ outcome, objectives: wanted }: DrillReportInput, say: Say): Section {
  const row = (figure: string, objective: number | null, measured: number | null): (readonly Inline[])[] => [
    [figure],
    [objective === null ? say.noObjective : durationInWords(objective)],
    [measured === null ? say.notKnown : durationInWords(measured)],
    [gapOf(objective, measured, say)],
  ];
  const rows = outcome.restores.map(({ policy, rtoSeconds }) => row(say.rto(policy), wanted.rtoSeconds, rtoSeconds));
  rows.push(row(say.rpo, wanted.rpoSeconds, outcome.rpoSeconds));
  return {
    title: say.sections.objectives,
    blocks: [
      table([say.words.figure, say.words.objective, say.words.measured, say.words.gap], rows),
      { kind: 'note', text: say.figuresNote },
    ],
  };
}

function gapOf(objective: number | null, measured: number | null, say: Say): Inline {
  if (objective === null || measured === null) return '–';
  return measured <= objective
    ? { status: 'passed', text: say.met(durationInWords(objective - measured)) }
    : { status: 'failed', text: say.missed(durationInWords(measured - objective)) };
}

function limitOf({ objectives: { rtoSeconds } }: DrillReportInput, say: Say): ChartLimit | null {
  if (rtoSeconds === null) return null;
  const text = durationInWords(rtoSeconds);
  return { seconds: rtoSeconds, text: say.objectiveLine(text), beyond: say.objectiveBeyond(text) };
}

function phases(input: DrillReportInput, say: Say): Section {
  const { restores } = input.outcome;
  const chart: BarChart = {
    ...{ kind: 'bars', label: say.sections.phases, limit: limitOf(input, say) },
    bars: restores.map(({ policy, phases: parts }) => ({ label: policy, parts })),
  };
  const rows = restores.flatMap((one) => [
    ...one.phases.map(({ name, seconds }) => [[one.policy], [name], [durationInWords(seconds)], ['']]),
    [[one.policy], [{ strong: 'RTO' }], [{ strong: durationInWords(one.rtoSeconds) }], [rateOf(one, say)]],
  ]);
  return {
    title: say.sections.phases,
    blocks:
      restores.length === 0
        ? [{ kind: 'text', text: [say.noRestore] }]
        : [
            { kind: 'chart', chart },
            { kind: 'note', text: say.phasesNote },
            table([say.words.policy, say.words.phase, say.words.took, say.words.rate], rows),
          ],
  };
}

function rateOf({ bytes, rtoSeconds }: Restored, say: Say): string {
  if (bytes === null) return say.notKnown;
  return rtoSeconds > 0
    ? `${sizeInWords(bytes)}, ${say.perSecond(sizeInWords(Math.round(bytes / rtoSeconds)))}`
    : sizeInWords(bytes);
}

function prediction({ outcome }: DrillReportInput, say: Say): Section {
  const { restores } = outcome;
  const rows = restores.map(({ policy, predicted, rtoSeconds }): readonly (readonly Inline[])[] => {
    const measured: Inline[] = [durationInWords(rtoSeconds)];
    if (predicted === null) return [[policy], [say.nothingMeasured], measured, ['–'], ['–']];
    const { p50, p90, samples } = predicted;
    return [
      [policy],
      [say.predictedRange(durationInWords(p50), durationInWords(p90), samples)],
      measured,
      [percent((rtoSeconds - p50) / Math.max(p50, 0.001))],
      [rtoSeconds > p90 ? say.above : rtoSeconds < 2 * p50 - p90 ? say.below : say.within],
    ];
  });
  const known = restores.flatMap(({ policy, predicted, rtoSeconds }) =>
    predicted === null ? [] : [{ label: policy, p50: predicted.p50, p90: predicted.p90, measured: rtoSeconds }],
  );
  const blocks: Block[] = [
    table([say.words.policy, say.words.predicted, say.words.measured, say.words.error, say.words.within], rows),
    { kind: 'note', text: say.predictionNote },
  ];
  const legend = { range: `${say.words.predicted}: P50 – P90`, measured: say.words.measured };
  if (known.length > 0)
    blocks.unshift({
      kind: 'chart',
      chart: { kind: 'ranges', label: say.sections.prediction, rows: known, legend },
    });
  return { title: say.sections.prediction, blocks: restores.length === 0 ? [] : blocks };
}

function percent(share: number): string {
  const whole = Math.round(share * 100);
  return `${whole > 0 ? '+' : whole < 0 ? '−' : ''}${Math.abs(whole)} %`;
}

function trend(input: DrillReportInput, say: Say): Section {
  const { outcome, history } = input;
  const slowest = ({ restores }: Pick<DrillOutcome, 'restores'>) =>
    Math.max(0, ...restores.map(({ rtoSeconds }) => rtoSeconds));
  const drills = [...history.filter(({ drillId }) => drillId !== outcome.drillId), outcome]
    .filter(({ restores }) => restores.length > 0)
    .slice(-MOST_DRILLS);
  if (drills.length < 2) return { title: say.sections.trend, blocks: [{ kind: 'text', text: [say.firstDrill] }] };
  const chart: TrendChart = {
    ...{ kind: 'trend', label: say.sections.trend, limit: limitOf(input, say) },
    points: drills.map((drill) => ({
      label: drill.finishedAt.slice(0, 10),
      seconds: slowest(drill),
      failed: drill.verdict !== 'pass',
    })),
  };
  const rows = drills.map((drill): readonly (readonly Inline[])[] => [
    [{ code: drill.drillId }],
    [drill.finishedAt.slice(0, 16)],
    [durationInWords(slowest(drill))],
    [{ status: drill.verdict === 'pass' ? 'passed' : 'failed', text: say.verdicts[drill.verdict] }],
  ]);
  return {
    title: say.sections.trend,
    blocks: [
      { kind: 'chart', chart },
      { kind: 'note', text: say.trendNote(drills.length) },
      table([say.words.drill, say.words.finished, 'RTO', say.words.result], rows),
    ],
  };
}

function checks({ outcome }: DrillReportInput, say: Say): Section {
  const rows = outcome.checks.map((check): readonly (readonly Inline[])[] => [
    [check.policy],
    [check.name === check.type ? check.name : `${check.name} (${check.type})`],
    [{ status: check.status, text: say.statuses[check.status] }],
    [check.detail, ...(check.hint === undefined ? [] : [` (${say.hint(check.hint)})`])],
    [durationInWords(check.seconds)],
    check.evidence === undefined ? ['–'] : [{ file: check.evidence }],
  ]);
  const { words } = say;
  return {
    title: say.sections.checks,
    blocks: [
      rows.length === 0
        ? { kind: 'text', text: [{ strong: say.noChecks }] }
        : table([words.policy, words.check, words.result, words.found, words.took, words.evidenceFile], rows),
    ],
  };
}

function restored({ plan, outcome }: DrillReportInput, say: Say): Section {
  const rows = plan.restores.map((planned): readonly (readonly Inline[])[] => {
    const done = outcome.restores.find(({ policy }) => policy === planned.policy);
    return [
      [`${planned.policy} (${planned.engine})`],
      planned.backups.flatMap((backup, index): Inline[] => [
        ...(index === 0 ? [] : [', ']),
        { code: backup.label },
        ` ${backup.finishedAt}`,
        backup.sizeBytes === null ? '' : `, ${sizeInWords(backup.sizeBytes)}`,
      ]),
      [targetOf(planned, say)],
      [done?.reached ?? say.noRestore],
      [done?.lastCommitAt ?? say.notKnown],
      [done?.lastLsn ?? say.notKnown],
    ];
  });
  const { words } = say;
  return {
    title: say.sections.restored,
    blocks: [
      table([words.policy, words.backup, words.target, words.reached, words.lastCommit, words.lastLsn], rows),
      { kind: 'text', text: [`${words.seed}: `, { code: outcome.seed }] },
    ],
  };
}

function targetOf({ target, chosen, window }: PlannedRestore, say: Say): string {
  const where = window === undefined ? '' : ` ${say.chosenIn(window.from, window.to)}`;
  return `${formatTarget(target)}: ${say.chosen[chosen]}${where}`;
}

function signOff({ outcome, asksSignOff }: DrillReportInput, say: Say): Section {
  const said = outcome.signOff;
  const text = said === null ? (asksSignOff ? say.noAnswer : say.nobodyAsked) : say.signOff(said);
  const blocks: Block[] = [{ kind: 'text', text: [{ strong: text }] }];
  if (said?.remarks != null) blocks.push({ kind: 'text', text: [`${say.remarks}: ${said.remarks}`] });
  blocks.push(
    { kind: 'fields', names: [say.signatory, say.signature, say.date] },
    { kind: 'note', text: say.countersign },
  );
  return { title: say.sections.signOff, blocks };
}

function failures({ failures: found }: DrillReportInput, say: Say): Section {
  const rows = found.map(({ at, step, code, text }): readonly (readonly Inline[])[] => [
    [at],
    [step],
    [text, ' (', { code }, ')'],
  ]);
  return {
    title: say.sections.failures,
    blocks: rows.length === 0 ? [] : [table([say.words.attempt, say.words.doneStep, say.words.error], rows)],
  };
}

function versions({ versions: known, plan }: DrillReportInput, say: Say): Section {
  const rows = known.map(({ name, version }): readonly (readonly Inline[])[] => [[name], [{ code: version }]]);
  rows.push([[say.words.configuration], [{ code: plan.configDigest }]]);
  return { title: say.sections.versions, blocks: [table([say.words.program, say.words.version], rows)] };
}

function evidence({ signer }: DrillReportInput, say: Say): Section {
  return {
    title: say.sections.evidence,
    blocks: [
      { kind: 'text', text: [signer === null ? { strong: say.notSigned } : say.signedWith(signer)] },
      { kind: 'text', text: [say.evidenceNote] },
      { kind: 'command', text: say.verifyOne },
      { kind: 'note', text: say.verifyByHand },
    ],
  };
}

function table(head: readonly string[], rows: readonly (readonly (readonly Inline[])[])[]): Block {
  return { kind: 'table', head, rows };
}
