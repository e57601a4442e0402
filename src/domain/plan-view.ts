import { shortDigest } from './approval-policy.js';
import { markdownBlock, markdownCode, markdownTable, markdownText } from './markdown.js';
import { recoverWorkflowId } from './names.js';
import type { Plan } from './plan.js';
import { formatTarget } from './target.js';
import { clipBytes, durationInWords, sizeInWords, utf8Bytes, visible } from './text.js';

/** Temporal takes 20 kB of details; the workflow may put a line before ours. */
const maxDetailsBytes = 18_000;
/** So many entries of any list are shown; the plan itself has them all. */
const mostShown = 20;

/** What a person pastes into the Web UI (signal `confirm-restore`) or pipes into any Temporal client. */
export function approvalJson(plan: Plan): string {
  return JSON.stringify({ plan: shortDigest(plan), by: '<your name>', reason: '<why>' });
}

/** One line for a timer in the Web UI's timeline, 120 bytes at the most: what is waited for, and which plan. */
export function waitingSummary(plan: Plan): string {
  const { binding } = plan;
  const what = binding.method === 'restart' ? 'restart' : `recovery to ${formatTarget(binding.target)}`;
  const end = ` — plan ${shortDigest(plan)}, until ${minute(plan.approveBy)}`;
  return clipBytes(visible(`approval: ${binding.cluster}, ${what}`), 120 - utf8Bytes(end)) + end;
}

/** The plan for Temporal's current details (Markdown): read at night, decided on, and answered from the same page. */
export function planDetails(plan: Plan): string {
  const paste = [
    `**To approve**, send the signal ${markdownCode('confirm-restore')} with this JSON, your name and your reason put in:`,
    markdownBlock(approvalJson(plan), 'json'),
    `or type ${markdownCode(approveCommand(plan))}`,
    `**To decline**: ${markdownCode(rejectCommand(plan))}. Nothing is changed before the approval.`,
  ].join('\n\n');
  const head = `### ${markdownText(titleOf(plan))}`;
  const table = markdownTable(['what', 'plan'], facts(plan).map(({ name, values }) => [name, cell(values)]));
  const notes = warningsOf(plan).map((warning) => `- ⚠ ${markdownText(clipBytes(warning, 400))}`);
  const parts = [head, paste, table, ...(notes.length > 0 ? [notes.join('\n')] : [])];
  const whole = parts.join('\n\n');
  if (utf8Bytes(whole) <= maxDetailsBytes) return whole;
  // Names of many kilobytes: what can be typed and pasted stays whole, the table is cut at a line.
  const room = maxDetailsBytes - utf8Bytes([head, paste].join('\n\n')) - 200;
  const lines = clipBytes(table, room).split('\n').slice(0, -1);
  return [head, paste, lines.join('\n'), `The rest does not fit here: ${markdownCode(`reprise status ${workflowOf(plan)}`)} shows it.`].join('\n\n');
}

/** The plan for a terminal, ending in what to type. */
export function planText(plan: Plan): string {
  const width = Math.max(...facts(plan).map(({ name }) => name.length));
  const lines = facts(plan).flatMap(({ name, values }) =>
    values.map(({ text }, index) => `  ${(index === 0 ? name : '').padEnd(width)}  ${visible(text)}`),
  );
  return [
    visible(titleOf(plan)),
    ...lines,
    ...warningsOf(plan).map((warning) => `  warning: ${visible(warning)}`),
    '',
    'Nothing is changed before the approval. To approve:',
    `  ${approveCommand(plan)}`,
    `or send the signal confirm-restore with ${approvalJson(plan)}`,
    'To decline:',
    `  ${rejectCommand(plan)}`,
  ].join('\n');
}

interface Value {
  readonly text: string;
  /** A name or a path, shown as such. */
  readonly code?: boolean;
}
interface Fact {
  readonly name: string;
  readonly values: readonly Value[];
}

function facts({ binding, observed, approveBy, digest }: Plan): Fact[] {
  const place = binding.into === 'in-place' ? 'in place' : `into ${binding.into}`;
  const all: Fact[] = [
    { name: 'cluster', values: [{ text: `${binding.cluster}, ${place} on host ${binding.targetHost}, port ${binding.port}` }] },
    { name: 'recovers to', values: [{ text: clipBytes(formatTarget(binding.target), 500), code: true }] },
    { name: 'from', values: shown(binding.backups, (backup) => ({ text: `${backup.id} (${backup.type}, ended ${backup.finishedAt})` })) },
    { name: 'replaces', values: shown(binding.replaces, ({ what, keptAs }) => ({ text: `${what} — kept as ${keptAs}` })) },
    { name: 'steps', values: shown(binding.steps, (step) => ({ text: step })) },
    { name: 'hooks run', values: shown(binding.hooks, (hook) => ({ text: hook, code: true })) },
    { name: 'takes about', values: seconds(observed.predictedRtoSeconds) },
    { name: 'may lose', values: seconds(observed.predictedRpoSeconds) },
    { name: 'reachable', values: range(observed.reachableFrom, observed.reachableTo) },
    { name: 'WAL ends at', values: optional(observed.walEnd) },
    { name: 'needs', values: [{ text: `${sizeInWords(observed.neededBytes)}; ${observed.freeBytes === null ? 'free room is not known' : `${sizeInWords(observed.freeBytes)} are free`}` }] },
    { name: 'asked for by', values: [{ text: clipBytes(binding.requester, 200) }] },
    { name: 'approve by', values: [{ text: approveBy }] },
    { name: 'plan', values: [{ text: digest, code: true }] },
  ];
  if (observed.salvageableSegments > 0) {
    all.splice(10, 0, { name: 'salvages', values: [{ text: `${observed.salvageableSegments} WAL segments not archived yet` }] });
  }
  if (binding.method === 'restart') {
    const recovering = new Set(['recovers to', 'reachable', 'WAL ends at', 'salvages', 'needs']);
    return all.filter(({ name, values }) => values.length > 0 && !recovering.has(name));
  }
  if (binding.pause) all.splice(5, 0, { name: 'pauses', values: [{ text: 'at the target, read-only, until you promote' }] });
  return all.filter(({ values }) => values.length > 0);
}

/** What happens if this is approved, in one sentence. */
function titleOf({ binding, observed }: Plan): string {
  const time = observed.predictedRtoSeconds === null ? '' : `, about ${durationInWords(observed.predictedRtoSeconds)}`;
  if (binding.method === 'restart') return `Restart PostgreSQL of ${binding.cluster}: nothing is replaced${time}`;
  const target = clipBytes(formatTarget(binding.target), 200);
  if (binding.replaces.length === 0) return `Recover ${binding.cluster} to ${target} beside what is there: nothing is replaced${time}`;
  return `Recover ${binding.cluster} to ${target}: what is there is replaced and kept${time}`;
}

function warningsOf({ observed }: Plan): string[] {
  const more = observed.warnings.length - mostShown;
  return [...observed.warnings.slice(0, mostShown), ...(more > 0 ? [`and ${more} more`] : [])];
}

function shown<T>(items: readonly T[], view: (item: T) => Value): Value[] {
  const values = items.slice(0, mostShown).map(view).map((value) => ({ ...value, text: clipBytes(value.text, 500) }));
  const more = items.length - mostShown;
  return more > 0 ? [...values, { text: `and ${more} more` }] : values;
}

function cell(values: readonly Value[]): string {
  return values.map(({ text, code }) => (code ? markdownCode(text) : markdownText(text))).join('<br>');
}

function seconds(value: number | null): Value[] {
  return value === null ? [] : [{ text: value === 0 ? 'nothing' : durationInWords(value) }];
}

function optional(value: string | null): Value[] {
  return value === null ? [] : [{ text: value }];
}

function range(from: string | null, to: string | null): Value[] {
  if (from === null && to === null) return [];
  return [{ text: `${from ?? 'the end of the backup'} to ${to ?? 'the end of the WAL'}` }];
}

function workflowOf({ binding }: Plan): string {
  return recoverWorkflowId(binding.cluster, binding.operationId);
}

function approveCommand(plan: Plan): string {
  return `reprise approve ${workflowOf(plan)} --plan ${shortDigest(plan)} --reason "..."`;
}

function rejectCommand(plan: Plan): string {
  return `reprise reject ${workflowOf(plan)} --reason "..."`;
}

/** `2026-11-21T02:15Z`: seconds help nobody to be in time. */
function minute(instant: string): string {
  return instant.replace(/:\d\d(\.\d+)?Z$/, 'Z');
}
