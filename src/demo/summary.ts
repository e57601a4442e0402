import { durationInWords } from '../domain/text/text.js';
import type { DemoResult, PassResult } from './result.js';

/** What the demo ends with, for a person: what was lost and what was measured. */
export function demoText(result: DemoResult): string {
  const lines = result.passes.flatMap((pass, index) => passLines(pass, index + 1));
  const verdict = result.recovered ? "everything matches the client's log" : "NOT everything matches the client's log";
  return [
    ...lines,
    '',
    `${verdict} (${durationInWords(result.seconds)} in all)`,
    ...(result.kept === null ? [] : [`kept: ${result.kept}`]),
  ].join('\n');
}

function passLines(pass: PassResult, number: number): string[] {
  const { transactions, tables, rpoSeconds } = pass;
  const lost = pass.lostTransactions;
  const what = pass.loss === 'data-files' ? 'data files gone, pg_wal readable' : 'the whole directory gone, WAL too';
  const matching = tables.filter(({ match }) => match).length;
  return [
    `Pass ${number}: ${what}`,
    `  tables        ${matching} of ${tables.length} are the same by row count and content hash`,
    `  transactions  ${transactions.acknowledged} acknowledged, ${lost} lost${lost > 0 ? `, exactly those after the last archived one (number ${transactions.lastArchived})` : ` (${transactions.lastRecovered - transactions.lastArchived} were in pg_wal alone)`}`,
    `  RTO           ${durationInWords(pass.rtoSeconds)}${pass.waitedForPeopleSeconds >= 1 ? `, and ${durationInWords(pass.waitedForPeopleSeconds)} waiting for a person` : ''}`,
    `  RPO           ${rpoSeconds === null ? 'not known' : rpoSeconds === 0 ? 'nothing was lost' : `at most ${durationInWords(rpoSeconds)}`}`,
    `  phases        ${pass.phases.map(({ name, seconds }) => `${name} ${durationInWords(seconds)}`).join('; ')}`,
    `  report        ${pass.report}`,
    `  Web UI        ${pass.webUi}`,
  ];
}
