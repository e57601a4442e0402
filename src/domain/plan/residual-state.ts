import { type Plan, losesOldData } from './plan.js';
import { formatTarget } from '../target/target.js';
import { stepNames } from './recovery-step-names.js';

/** Steps from which on applications no longer find what they worked with. */
const touching: readonly string[] = [
  stepNames.stopServer,
  stepNames.moveOldData,
  stepNames.media,
  stepNames.promote,
  stepNames.swap,
];

/** Whether what applications work with may no longer be as it was. @param begun as for {@link describeResidualState} */
export function liveDataTouched(begun: readonly string[]): boolean {
  return begun.some((name) => touching.includes(name));
}

/**
 * What a recovery leaves that ended before its end: where the old data is, and what to type next.
 * @param begun names of the steps of the runbook that were begun, in their order
 * @param undos hooks that were run and not taken back, with the hook that does it
 */
export function describeResidualState(
  { binding, observed }: Plan,
  begun: readonly string[],
  undos: ReadonlyMap<string, string> = new Map(),
): string {
  const last = begun.at(-1);
  if (last === undefined) return 'Nothing was changed.';
  return [
    `It ended at the step "${last}".`,
    ...stateOf(binding, begun),
    ...mediaOf(binding, begun),
    ...hooksOf(undos, begun),
    goOn(binding, timelineOf(binding, observed)),
  ].join(' ');
}

/** Applications on a half recovered database do more harm than none: a person starts them. */
function hooksOf(undos: ReadonlyMap<string, string>, begun: readonly string[]): readonly string[] {
  const why = liveDataTouched(begun) ? 'because the live data was touched' : 'because that failed';
  return [...undos].map(
    ([hook, undo]) =>
      `Hook "${hook}" was not undone, ${why}: check the data, then do by hand what hook "${undo}" does.`,
  );
}

function stateOf({ method, replaces }: Plan['binding'], begun: readonly string[]): readonly string[] {
  // The last step may have been refused before it moved anything.
  const moved = begun.at(-1) === stepNames.moveOldData || begun.at(-1) === stepNames.swap ? 'may be' : 'is';
  const kept = replaces.map(({ what, keptAs }) =>
    keptAs === null
      ? `${what} ${moved} overwritten and cannot be restored.`
      : `${what} ${moved} kept as ${keptAs} (\`reprise kept list\`).`,
  );
  switch (method) {
    case 'restart':
      return ['Nothing was replaced.'];
    case 'databases':
      if (begun.includes(stepNames.swap))
        return ['The restored databases may already have replaced the live ones.', ...kept];
      return ['The live databases were not changed; a restored copy may exist beside them (`reprise kept list`).'];
    case 'data-directory':
      if (!begun.includes(stepNames.moveOldData)) return ['No data was moved; the old server may be stopped.'];
      return [
        begun.includes(stepNames.promote)
          ? 'The recovered server may already be promoted: inspect it first.'
          : 'The recovered server was not promoted.',
        ...kept,
      ];
  }
}

function mediaOf({ media }: Plan['binding'], begun: readonly string[]): readonly string[] {
  if (!media || !begun.includes(stepNames.media)) return [];
  return [
    `The media ${media.name} were recovered to ${media.instant}, in part or completely; no version is lost: \`reprise media recover ${media.name} --to TIME\` undoes that, with the time before this recovery.`,
  ];
}

/** What was asked for: without it the next plan would go to the latest state there is, through the mistake. */
function targetOf({ target, backups }: Plan['binding']): string {
  if (target.kind === 'latest') return '';
  const [first] = backups;
  return ` --to ${target.kind === 'end-of-backup' && first ? `backup:${first.id}` : formatTarget(target)}`;
}

/** The history that was approved: the target may mean another one too. */
function timelineOf({ target, timeline }: Plan['binding'], { history }: Plan['observed']): string {
  if (timeline === null || history === undefined) return '';
  const isOnly = history.path.length <= 1 && history.newest === timeline;
  return isOnly || (target.kind === 'latest' && history.newest === timeline) ? '' : ` --timeline ${timeline}`;
}

/** A directory put aside is found by the next plan: WAL that was never archived is taken from it. */
function goOn(binding: Plan['binding'], timeline: string): string {
  const { cluster, into, method, policy, pause, media, detaches } = binding;
  const place = `${targetOf(binding)}${timeline}${policy === 'none' ? '' : ` --policy ${policy}`}${into === 'in-place' ? '' : ` --into ${into}`}${pause ? ' --pause' : ''}${media ? ` --with-media ${media.name}` : ''}${detaches ? ' --detach-replication' : ''}`;
  const from =
    method === 'data-directory' && into === 'in-place'
      ? `, which takes WAL that was not archived from ${losesOldData(binding) ? 'what was saved' : 'the old data'}`
      : '';
  return `To continue: \`reprise recover ${cluster}${place}\` makes a new plan${from}.`;
}
