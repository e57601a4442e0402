// Longer than 400 lines: the words of one plan, for the Web UI, a terminal and mail, which have to say the same.
import { decideOnPage, rejectCommand } from '../approval/approval-page.js';
import {
  approvalJson,
  approveCommand,
  approversInWords,
  shortDigest,
  waitingLabel,
} from '../approval/approval-policy.js';
import { markdownCode, markdownText } from '../text/markdown.js';
import { recoverWorkflowId } from '../operation/names.js';
import {
  type ChangedMethod,
  type Plan,
  type RecoveryMethod,
  type Replacement,
  type RestoreErrors,
  losesOldData,
} from './plan.js';
import { plannedMediaInWords } from './planned-media.js';
import { formatTarget } from '../target/target.js';
import { clipBytes, durationInWords, sizeInWords, utf8Bytes, visible, toTheSecond } from '../text/text.js';
import { detachedInWords } from './topology.js';
import { leavesProduction } from './recovery-figures.js';
import { thawInWords } from './thaw.js';
import { historyInWords } from './timeline-history.js';

/** Temporal takes 20 kB of details; the workflow may put a line before ours. */
const maxDetailsBytes = 18_000;
/** So many entries of any list are shown; the plan itself has them all. */
const mostShown = 20;
/** Errors are decided on one by one. */
const mostErrorsShown = 100;
/** In a sentence. */
const mostNamed = 5;

/** One line for a timer in the Web UI's timeline: what is waited for, which plan, and where it is told. */
export function waitingSummary(plan: Plan): string {
  const { binding } = plan;
  const what =
    binding.method === 'restart'
      ? 'restart'
      : binding.accepts !== undefined
        ? 'ACCEPT errors of the restore'
        : `${losesOldData(binding) ? 'OVERWRITES old data, ' : ''}recovery to ${formatTarget(binding.target)}`;
  const end = `, plan ${shortDigest(plan)} until ${minute(plan.approveBy)}`;
  return waitingLabel(`wait for approval: ${binding.cluster}, ${what}`, end);
}

/** The plan for Temporal's current details (Markdown). Lines of one list: the Web UI's column is narrow, and tables there are not wrapped. */
export function planDetails(plan: Plan): string {
  return within([head(plan)], plan);
}

/** The same while its approval is waited for: what is decided, what to send, and what the decision rests on. */
export function approvalDetails(plan: Plan): string {
  return within([head(plan), ...decideOnPage(plan, workflowOf(plan))], plan);
}

function head(plan: Plan): string {
  const changed = markdownText(changeOf(plan));
  return `### ${markdownText(titleOf(plan))}\n\n${changed === '' ? '' : `**${changed}**\n\n`}${markdownText(effectOf(plan))}`;
}

/** Says of a plan that another one came before, which people may have in mind; empty where none did. */
function changeOf({ binding, observed: { changedMethod } }: Plan): string {
  if (changedMethod === undefined) return '';
  return `This is another plan than ${changedMethod.plan.slice(0, 12)}: ${changedMethodInWords({ binding }, changedMethod)}. An approval of that plan does not count for this one.`;
}

/** What a plan does in place of the one before, and why. */
export function changedMethodInWords({ binding }: Pick<Plan, 'binding'>, { method, why }: ChangedMethod): string {
  return `it ${doesInWords[binding.method]} instead of ${insteadInWords[method]}, because ${clipBytes(why, 400)}`;
}

const doesInWords: Readonly<Record<RecoveryMethod, string>> = {
  restart: 'starts the server',
  'data-directory': 'restores a physical backup',
  databases: 'restores dumps',
};
const insteadInWords: Readonly<Record<RecoveryMethod, string>> = {
  restart: 'starting the server',
  'data-directory': 'restoring a physical backup',
  databases: 'restoring dumps',
};

/** Facts below what must be there whole; names of many kilobytes are cut at a line. */
function within(parts: readonly string[], plan: Plan): string {
  const notes = warningsOf(plan).map((warning) => `- ⚠ ${markdownText(clipBytes(warning, 400))}`);
  const list = [...notes, ...facts(plan).map(listed)].join('\n');
  const whole = [...parts, list].join('\n\n');
  if (utf8Bytes(whole) <= maxDetailsBytes) return whole;
  const room = maxDetailsBytes - utf8Bytes(parts.join('\n\n')) - 200;
  const lines = clipBytes(list, room).split('\n').slice(0, -1);
  return [
    ...parts,
    lines.join('\n'),
    `The rest does not fit here: ${markdownCode(`reprise status ${workflowOf(plan)}`)} shows it.`,
  ].join('\n\n');
}

/** The plan for a terminal, ending in what to type; `waits: false` for one that only shows what would be done. */
export function planText(plan: Plan, { waits = true } = {}): string {
  // Of a plan that nobody keeps there is nothing to approve.
  const told = facts(plan).filter(({ name }) => waits || (name !== 'plan' && name !== 'approve until'));
  const width = Math.max(...told.map(({ name }) => name.length));
  const lines = told.flatMap(({ name, values }) =>
    values.map(({ text }, index) => `  ${(index === 0 ? name : '').padEnd(width)}  ${visible(text)}`),
  );
  return [
    visible(titleOf(plan)),
    ...[changeOf(plan)].filter((line) => line !== '').map(visible),
    visible(effectOf(plan)),
    ...lines,
    ...warningsOf(plan).map((warning) => `  warning: ${visible(warning)}`),
    '',
    ...(waits
      ? howToDecide(plan)
      : [
          'Nothing was started: this is what would be done. Without --dry-run the plan is kept, and waits for its approval.',
        ]),
  ].join('\n');
}

function howToDecide(plan: Plan): readonly string[] {
  return [
    'Nothing is changed before the approval. To approve:',
    `  ${approveCommand(workflowOf(plan), plan.digest, plan.observed.approval?.from)}`,
    'or, in the Web UI, send the update approve with',
    ...approvalJson(plan)
      .split('\n')
      .map((line) => `  ${line}`),
    'To decline:',
    `  ${rejectCommand(workflowOf(plan))}`,
  ];
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
    {
      name: 'cluster',
      values: [{ text: `${binding.cluster}, ${place} on host ${binding.targetHost}, port ${binding.port}` }],
    },
    ...targetFacts(binding, observed),
    { name: 'accepts', values: binding.accepts === undefined ? [] : acceptedFacts(binding.accepts.databases) },
    { name: 'may lose', values: [{ text: lossInWords({ binding, observed }) }] },
    {
      name: 'from backup',
      values: shown(binding.backups, (backup) => ({
        text: `${backup.id} (${backup.type}, ended ${toTheSecond(backup.finishedAt)})`,
      })),
    },
    {
      name: 'thaws',
      values:
        binding.thaw === undefined || observed.thaw === undefined
          ? []
          : thawInWords(binding.thaw, observed.thaw).map((text) => ({ text })),
    },
    { name: 'method', values: optional(methodInWords(binding)) },
    { name: 'restored as', values: optional(binding.restoreAs ?? null) },
    { name: 'replaces', values: shown(binding.replaces, (one) => ({ text: fateOf(one) })) },
    {
      name: 'detaches',
      values: shown(binding.detaches ? detachedInWords(binding.detaches) : [], (text) => ({ text })),
    },
    { name: 'stays', values: shown(whatStays(binding), (value) => value) },
    { name: 'moves', values: shown(whatMoves(binding), (value) => value) },
    { name: 'media', values: binding.media === undefined ? [] : mediaFacts(binding.media) },
    { name: 'also restores', values: shown(binding.putsBack ?? [], (path) => ({ text: path, code: true })) },
    { name: 'steps', values: shown(binding.steps, (step) => ({ text: step.replaceAll('-', ' ') })) },
    { name: 'pauses', values: binding.pause ? [{ text: 'at the target, read-only, until you promote' }] : [] },
    { name: 'hooks run', values: shown(binding.hooks, (hook) => ({ text: hook, code: true })) },
    { name: 'hooks undone', values: shown(Object.entries(binding.undoHooks ?? {}), undoInWords) },
    { name: 'takes about', values: [{ text: durationOf(observed) }] },
    {
      name: 'recoverable',
      values: range(binding, observed),
    },
    { name: 'WAL ends at', values: optional(observed.walEnd) },
    {
      name: 'salvages',
      values:
        observed.salvageableSegments > 0
          ? [{ text: `${observed.salvageableSegments} WAL segments not archived yet` }]
          : [],
    },
    {
      name: 'needs',
      values: [
        {
          text: `${sizeInWords(observed.neededBytes)} of disk; ${observed.freeBytes === null ? 'free space is not known' : `${sizeInWords(observed.freeBytes)} are free`}`,
        },
        ...(observed.disks ?? []).map(({ path, neededBytes, freeBytes }) => ({
          text: `${sizeInWords(neededBytes)} in ${path}; ${sizeInWords(freeBytes)} are free`,
        })),
      ],
    },
    { name: 'requested by', values: [{ text: `${clipBytes(binding.requester, 200)} (asserted)` }] },
    { name: 'may approve', values: approvers(observed.approval) },
    { name: 'approve until', values: [{ text: toTheSecond(approveBy) }] },
    { name: 'plan', values: [{ text: digest, code: true }] },
  ];
  const recovering = new Set(['target', 'recoverable', 'WAL ends at', 'salvages', 'needs']);
  return all.filter(({ name, values }) => values.length > 0 && !(binding.method === 'restart' && recovering.has(name)));
}

/** Every error, as far as a person reads them: nothing else is decided with this plan. */
function acceptedFacts(databases: readonly RestoreErrors[]): Value[] {
  const all = errorsInWords(databases);
  const left = all.slice(0, mostErrorsShown).map((text) => ({ text: clipBytes(text, 500) }));
  const more = all.length - mostErrorsShown;
  return [
    ...left,
    ...(more > 0
      ? [{ text: `and ${more} more: the host keeps them all with the plan, in plans/ of its state directory` }]
      : []),
    ...databases.map(({ database, copy }) => ({
      text: `all recorded rows of ${database} are there; the copy is ${copy}, beside the live database`,
    })),
  ];
}

/** What is waited for, in one sentence with the command. */
export function acceptanceWanted(plan: Plan): string {
  const { digest, observed, approveBy, binding } = plan;
  const all = errorsInWords(binding.accepts?.databases ?? []);
  const more = all.length > mostNamed ? `; and ${all.length - mostNamed} more` : '';
  const named = all.slice(0, mostNamed).map((text) => clipBytes(visible(text), 300));
  return `the acceptance of ${all.length === 1 ? 'an error' : `${all.length} errors`} of the restore, until ${minute(approveBy)}: ${named.join('; ')}${more} — \`reprise approve ${workflowOf(plan)} --by NAME --reason "..."\` shows them all and asks, \`${approveCommand(workflowOf(plan), digest, observed.approval?.from)}\` accepts them and swaps the databases, \`${rejectCommand(workflowOf(plan))}\` keeps the live ones and the copies`;
}

/** What the restore could not make, each with its database. */
export function errorsInWords(databases: readonly RestoreErrors[]): readonly string[] {
  return databases.flatMap(({ database, errors }) => errors.map((error) => `${database}: ${error}`));
}

/** What is recovered to, along which history, and what of the data comes back. */
function targetFacts(binding: Plan['binding'], observed: Plan['observed']): Fact[] {
  return [
    { name: 'target', values: [{ text: clipBytes(formatTarget(binding.target), 500), code: true }] },
    {
      name: 'replay stops at',
      values: optional(binding.stopsAt && formatTarget(binding.stopsAt)),
    },
    { name: 'timeline', values: optional(observed.history && historyInWords(observed.history)) },
    {
      name: 'data as of',
      values: observed.stateAt === undefined ? [] : [{ text: toTheSecond(observed.stateAt) }],
    },
    { name: 'last commit', values: optional(observed.lastCommitAt) },
  ];
}

function undoInWords([hook, undo]: readonly [string, string]): Value {
  return { text: `${hook} by ${undo}, also if the recovery ends before the live data is touched` };
}

/** Links and disks that the recovered data directory has as before. */
function whatStays({ dataDir, layout }: Plan['binding']): Value[] {
  const old = (keptAs: string | null): string => (keptAs === null ? 'is overwritten there' : `is kept as ${keptAs}`);
  const { wal, tablespaces = [] } = layout ?? {};
  return [
    ...(layout?.dataDir === undefined ? [] : [`${dataDir} is a symbolic link, to ${layout.dataDir}`]),
    ...(wal === undefined ? [] : [`pg_wal is a symbolic link, to ${wal.path}; the old WAL ${old(wal.keptAs)}`]),
    ...tablespaces.flatMap(({ oid, path, keptAs }) =>
      keptAs === undefined ? [] : [`tablespace ${oid} is in ${path}; the old one ${old(keptAs)}`],
    ),
  ].map((text) => ({ text }));
}

/** Tablespaces whose place is not known, or is production's. */
function whatMoves({ layout }: Plan['binding']): Value[] {
  return (layout?.tablespaces ?? [])
    .filter(({ keptAs }) => keptAs === undefined)
    .map(({ oid, path }) => ({ text: `tablespace ${oid} is restored to ${path}` }));
}

const databasesOf = ({ backups }: Plan['binding']): string =>
  backups.flatMap(({ database }) => database ?? []).join(', ');

/** Of a way that the replaced data does not tell. */
function methodInWords(binding: Plan['binding']): string | null {
  return binding.through === undefined
    ? null
    : `one database to an instant: the cluster is restored into a temporary instance, database ${databasesOf(binding)} is moved from there by a dump; the other databases are not touched`;
}

/** What is approved. */
function titleOf({ binding }: Plan): string {
  if (binding.method === 'restart') return `Restart PostgreSQL of ${binding.cluster}`;
  if (binding.accepts !== undefined) return `Accept what the restore of ${binding.cluster} could not make`;
  const place = binding.into === 'in-place' ? 'in place' : `into ${binding.into}`;
  const media = binding.media === undefined ? '' : `, with the media ${binding.media.name}`;
  const what =
    binding.through === undefined ? binding.cluster : `database ${databasesOf(binding)} of ${binding.cluster}`;
  return `Recover ${what} ${place}${media}, to ${clipBytes(formatTarget(binding.target), 200)}`;
}

/** What happens if it is approved, in one sentence. */
function effectOf({ binding, observed }: Plan): string {
  const time =
    observed.predictedRtoSeconds === null
      ? ''
      : ` The recovery takes about ${durationInWords(observed.predictedRtoSeconds)}.`;
  if (binding.method === 'restart')
    return `The data directory is intact: the server is started, nothing is replaced.${time}`;
  if (binding.accepts !== undefined)
    return `The dumps are restored beside the live databases, without what is listed under "accepts". Approved, they replace the live ones as they are, and what is missing stays missing until somebody makes it; the present data is kept under another name. Rejected, nothing is replaced, and the copies are kept: reprise kept list.`;
  if (binding.replaces.length === 0) return `${nothingThere(binding)}: nothing is replaced.${time}`;
  if (losesOldData(binding))
    return `The present data is OVERWRITTEN AND LOST: no copy of it is kept, and this cannot be undone.${time}`;
  return `The present data is replaced and kept under another name.${time}`;
}

function nothingThere({ dataDir, into }: Plan['binding']): string {
  const where = dataDir ?? 'The target directory';
  return into === 'in-place'
    ? `${where} is gone or empty, and is restored there`
    : `${where} contains no data, and the copy is restored there`;
}

function mediaFacts(media: NonNullable<Plan['binding']['media']>): Value[] {
  return [
    { text: `${media.name} as of ${toTheSecond(media.instant)}: ${plannedMediaInWords(media, sizeInWords)}` },
    { text: 'objects that were added later are kept; an overwritten object stays as an older version' },
  ];
}

function fateOf({ what, keptAs, copied }: Replacement): string {
  if (keptAs === null) return `${what} — LOST: overwritten in place, cannot be undone`;
  return copied ? `${what} — copied to ${keptAs}, then emptied` : `${what} — kept as ${keptAs}`;
}

function warningsOf({ observed }: Plan): string[] {
  const more = observed.warnings.length - mostShown;
  return [...observed.warnings.slice(0, mostShown), ...(more > 0 ? [`and ${more} more`] : [])];
}

function shown<T>(items: readonly T[], view: (item: T) => Value): Value[] {
  const values = items
    .slice(0, mostShown)
    .map(view)
    .map((value) => ({ ...value, text: clipBytes(value.text, 500) }));
  const more = items.length - mostShown;
  return more > 0 ? [...values, { text: `and ${more} more` }] : values;
}

/** `- **from backup:** ...` */
function listed({ name, values }: Fact): string {
  return `- **${name}:** ${values.map(({ text, code }) => (code ? markdownCode(text) : markdownText(text))).join('; ')}`;
}

/** Never a number that nothing was measured for. */
function durationOf({ predictedRtoSeconds, predictedRto }: Plan['observed']): string {
  if (predictedRtoSeconds === null)
    return 'not known: no restore was measured on this host with this engine yet (a drill measures one)';
  if (predictedRto === undefined) return durationInWords(predictedRtoSeconds);
  const { p90, samples } = predictedRto;
  const from = samples === 1 ? '1 restore measured' : `${samples} restores measured`;
  return `${durationInWords(predictedRtoSeconds)}, at most ${durationInWords(p90)} in nine of ten cases (${from})`;
}

/** What may be lost, or that it cannot be known: always said. */
function lossInWords({ binding, observed }: Pick<Plan, 'binding' | 'observed'>): string {
  const { predictedRpoSeconds: seconds, serverIsThere, salvageableSegments } = observed;
  const { method, into, target } = binding;
  if (leavesProduction({ binding, observed })) return `nothing: ${binding.cluster} itself stays as it is`;
  const unsaved =
    method === 'data-directory' && serverIsThere === false && salvageableSegments === 0
      ? '; no WAL that was not archived is left to replay'
      : '';
  if (seconds === null) return `not known before the WAL is replayed${unsaved}`;
  // What a running server has not archived is saved when it is stopped, and replayed to its end.
  const isAllReplayed = method === 'data-directory' && target.kind === 'latest';
  const further =
    serverIsThere !== true || into !== 'in-place' || method === 'restart' || isAllReplayed
      ? ''
      : `, and what is written until ${method === 'databases' ? 'the databases are swapped' : 'the server is stopped'}`;
  if (seconds === 0) return `nothing${further}${unsaved}`;
  return `what was written in the last ${durationInWords(seconds)} before this plan${further}${unsaved}`;
}

function approvers(approval: Plan['observed']['approval']): Value[] {
  if (approval === undefined) return [];
  return [{ text: clipBytes(approversInWords({ ...approval, from: approval.from.slice(0, mostShown) }), 500) }];
}

function optional(value: string | null | undefined): Value[] {
  return value == null ? [] : [{ text: value }];
}

function range(
  { method, through }: Plan['binding'],
  { reachableFrom: from, reachableTo: to }: Plan['observed'],
): Value[] {
  // A single dump holds one instant, which is told already.
  if (from === to) return [];
  if (method === 'databases' && through === undefined && from !== null && to !== null)
    return [
      { text: `only the instants of the dumps, from ${toTheSecond(from)} to ${toTheSecond(to)}: --to backup:ID` },
    ];
  // Nothing was committed after the end of the backup.
  if (from !== null && to !== null && from > to) return [{ text: `the end of the backup, ${toTheSecond(from)}` }];
  return [
    {
      text: `${from === null ? 'the end of the backup' : toTheSecond(from)} to ${to === null ? 'the end of the WAL' : toTheSecond(to)}`,
    },
  ];
}

function workflowOf({ binding }: Plan): string {
  return recoverWorkflowId(binding.cluster, binding.operationId);
}

/** `2026-11-21T02:15Z`: seconds help nobody to be in time. */
function minute(instant: string): string {
  return instant.replace(/:\d\d(\.\d+)?Z$/, 'Z');
}
