import { durationInWords } from '../domain/text/text.js';
import type { DemoResult, DrillResult, LossResult, PassResult, RepairResult } from './result.js';

/** What the demo ends with, for a person: what was lost or restored, and what was measured. */
export function demoText(result: DemoResult): string {
  const [lines, verdict] = textOf(result);
  return [
    ...lines,
    '',
    `${verdict} (${durationInWords(result.seconds)} in all)`,
    ...(result.kept === null ? [] : [`kept: ${result.kept}`]),
  ].join('\n');
}

function textOf(result: DemoResult): [readonly string[], string] {
  switch (result.scenario) {
    case 'drill':
      return drillText(result);
    case 'table-corruption':
      return repairText(result);
    case 'instance-loss':
      return lossText(result);
  }
}

function repairText({ repair, tables, recovered, ...result }: RepairResult): [readonly string[], string] {
  const { done } = repair;
  return [
    [
      `Transaction ${repair.xid} of ${repair.committedAt} deleted ${repair.deleted} appointments`,
      `  put back      ${done.insert}, ${done.conflicts} conflicts`,
      `  tables        ${matchingOf(tables)}`,
      `  bookings      ${result.lostTransactions} of those made meanwhile are lost`,
      `  RTO           ${durationInWords(result.rtoSeconds)}`,
      `  report        ${result.report}`,
      `  Web UI        ${result.webUi}`,
    ],
    recovered ? "everything matches the client's log" : "NOT everything matches the client's log",
  ];
}

function lossText({ passes, recovered }: LossResult): [readonly string[], string] {
  return [
    passes.flatMap((pass, index) => passLines(pass, index + 1)),
    recovered ? "everything matches the client's log" : "NOT everything matches the client's log",
  ];
}

function drillText(result: DrillResult): [readonly string[], string] {
  const { drill, evidence, tables, rpoSeconds, recovered } = result;
  const count = (wanted: string): string =>
    `${drill.checks.filter(({ status }) => status === wanted).length} ${wanted}`;
  const { signOff } = drill;
  return [
    [
      `Drill ${drill.drillId}: ${drill.verdict}${drill.reason === null ? '' : `, ${drill.reason}`}`,
      `  checks        ${['passed', 'failed', 'skipped'].map(count).join(', ')}`,
      `  tables        ${matchingOf(tables)}`,
      `  signed off    ${signOff === null ? 'by nobody' : `by ${signOff.by}: ${signOff.verdict}`}`,
      `  RTO           ${durationInWords(result.rtoSeconds)}`,
      `  RPO           ${rpoText(rpoSeconds)}`,
      `  phases        ${phasesText(result.phases)}`,
      ...(evidence === null ? ['  evidence      none'] : evidenceLines(evidence)),
      `  report        ${result.report === '' ? 'none' : result.report}`,
      `  Web UI        ${result.webUi}`,
    ],
    recovered
      ? 'the drill passed, its evidence holds, and the changed byte was found'
      : 'NOT all of it is as it should be',
  ];
}

function evidenceLines({
  signed,
  verified,
  folder,
  publicKey,
  changed,
}: NonNullable<DrillResult['evidence']>): string[] {
  return [
    `  evidence      ${signed ? 'signed' : 'NOT signed'}, ${verified ? 'verified' : 'NOT verified'}: ${folder}`,
    `  public key    ${publicKey}`,
    `  changed byte  ${changed.found ? 'found' : 'NOT found'}: byte ${changed.offset} of ${changed.file}`,
  ];
}

const matchingOf = (tables: DrillResult['tables']): string =>
  `${tables.filter(({ match }) => match).length} of ${tables.length} are the same by row count and content hash`;

const rpoText = (seconds: number | null): string =>
  seconds === null ? 'not known' : seconds === 0 ? 'nothing was lost' : `at most ${durationInWords(seconds)}`;

const phasesText = (phases: PassResult['phases']): string =>
  phases.map(({ name, seconds }) => `${name} ${durationInWords(seconds)}`).join('; ');

function passLines(pass: PassResult, number: number): string[] {
  const { transactions, tables, rpoSeconds } = pass;
  const lost = pass.lostTransactions;
  const what = pass.loss === 'data-files' ? 'data files gone, pg_wal readable' : 'the whole directory gone, WAL too';
  return [
    `Pass ${number}: ${what}`,
    `  tables        ${matchingOf(tables)}`,
    `  transactions  ${transactions.acknowledged} acknowledged, ${lost} lost${lost > 0 ? `, exactly those after the last archived one (number ${transactions.lastArchived})` : ` (${transactions.lastRecovered - transactions.lastArchived} were in pg_wal alone)`}`,
    `  RTO           ${durationInWords(pass.rtoSeconds)}${pass.waitedForPeopleSeconds >= 1 ? `, and ${durationInWords(pass.waitedForPeopleSeconds)} waiting for a person` : ''}`,
    `  RPO           ${rpoText(rpoSeconds)}`,
    `  phases        ${phasesText(pass.phases)}`,
    `  report        ${pass.report}`,
    `  Web UI        ${pass.webUi}`,
  ];
}
