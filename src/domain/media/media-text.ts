import { decideOnPage, planForTerminal } from '../approval/approval-page.js';
import { approveCommand, shortDigest, waitingLabel } from '../approval/approval-policy.js';
import { markdownCode, markdownTable, markdownText } from '../text/markdown.js';
import {
  type LostTrait,
  type MediaOutcome,
  type MediaPlan,
  type MediaVerdict,
  lostTraits,
  mediaChanges,
} from './media.js';
import { mediaWorkflowId } from '../operation/names.js';
import { clipBytes, sizeInWords, visible } from '../text/text.js';

const meaning = {
  undelete: 'undeleted: their delete markers are removed',
  overwrite: 'overwritten by the older version; the present one stays as an older version if the bucket has versioning',
  copy: 'copied where no object exists',
  remove: 'removed: by a delete marker if the bucket has versioning',
  keep: 'kept, though they did not exist at that time',
  right: 'already correct, not touched',
} as const;

const lostMeaning: Readonly<Record<LostTrait, string>> = {
  acl: 'without their access control list, because the key may not read it (s3:GetObjectAcl, s3:GetObjectVersionAcl) or give it (s3:PutObjectAcl), or the target knows none: what was public is private',
  grants: 'without the rights that single accounts have on them: the other server does not know these accounts',
  tags: 'without their tags, because the key may not read them (s3:GetObjectTagging, s3:GetObjectVersionTagging) or give them (s3:PutObjectTagging), or the target knows none',
  class: "into the target's default storage class: theirs is an archive class, or one that the target does not have",
  encryption: 'without their encryption by a key of KMS: the target encrypts as its bucket says',
  expires: 'without their Expires header, which is no date',
  redirect: 'without their website redirection',
  lock: 'without their object lock (retention, legal hold): copies have what the target bucket gives every new object',
  metadata: 'without type, metadata, tags, access and storage class: a directory keeps their content only',
};

/** How many objects come without a part of what describes them, a line for each part. */
export function lostTexts(counts: Readonly<Partial<Record<LostTrait, number>>>): readonly string[] {
  return lostTraits.flatMap((trait) => {
    const count = counts[trait] ?? 0;
    return count === 0 ? [] : [`${count} ${count === 1 ? 'object is' : 'objects are'} copied ${lostMeaning[trait]}`];
  });
}

/** What is approved, in one line. */
function mediaTitle({ binding }: Pick<MediaPlan, 'binding'>): string {
  const { task, media, cluster } = binding;
  if (task.kind === 'sync') return `Make ${task.into} equal to the media ${media} of ${cluster}`;
  return `Recover the media ${media} of ${cluster} to ${task.to.replace(/\.000Z$/, 'Z')}${task.into === undefined ? ', in place' : `, into ${task.into}`}`;
}

/** The plan for a terminal, ending in what to type; `waits: false` for one that only shows what would be done. */
export function mediaPlanText(plan: MediaPlan, options: { readonly waits?: boolean } = {}): string {
  const { binding, observed } = plan;
  const samples = observed.samples.map(({ action, key }) => `  ${action.padEnd(9)} ${visible(clipBytes(key, 200))}`);
  return planForTerminal(
    plan,
    {
      title: mediaTitle(plan),
      lines: [
        `  from ${placeText(binding.from)} to ${placeText(binding.into)}`,
        ...linesOf(plan).map(([what, count, size]) => `  ${count.padStart(9)}  ${size.padStart(10)}  ${what}`),
        ...(samples.length > 0 ? ['', 'The first of each kind:', ...samples] : []),
      ],
      nothing: 'Nothing is changed',
      ...{ approve: mustBeApproved(plan) ? approveMediaCommand(plan) : null, workflowId: workflowOf(plan) },
    },
    options,
  );
}

/** The same for Temporal's Web UI (Markdown). */
export const mediaDetails = (plan: MediaPlan): string => detailsOf(plan, []);

/** The same while its approval is waited for. */
export const mediaApprovalDetails = (plan: MediaPlan): string =>
  detailsOf(plan, mustBeApproved(plan) ? decideOnPage(plan, workflowOf(plan)) : []);

function detailsOf(plan: MediaPlan, decide: readonly string[]): string {
  return [
    `### ${markdownText(mediaTitle(plan))}`,
    ...decide,
    [
      ...plan.observed.warnings.map((warning) => `- ⚠ ${markdownText(clipBytes(warning, 400))}`),
      ...linesOf(plan).map(([what, count, size]) => `- **${count}** (${size}) ${markdownText(what)}`),
    ].join('\n'),
  ].join('\n\n');
}

/** One line for a timer. */
export function mediaWaiting(plan: MediaPlan): string {
  return waitingLabel(`wait for approval: plan ${shortDigest(plan)}, ${mediaTitle(plan)}`);
}

/** Nothing is approved where nothing is changed. */
export function mustBeApproved({ observed, binding }: MediaPlan): boolean {
  return observed.approval !== null && mediaChangeCount(binding) > 0;
}

export function mediaChangeCount({ counts }: Pick<MediaPlan['binding'], 'counts'>): number {
  return mediaChanges.reduce((sum, name) => sum + counts[name].objects, 0);
}

/** What is left where people reject a plan whose changes were begun. */
export const MEDIA_PARTLY_CHANGED =
  'some of the planned changes may have been made: they stay, and no version of an object is lost; the same command makes a plan of what is left to do';

/** What to type to approve the plan. */
export function approveMediaCommand(plan: MediaPlan): string {
  return approveCommand(workflowOf(plan), plan.digest, plan.observed.approval?.from);
}

/** The report that is kept with the cluster's records (Markdown). */
export function mediaReport(
  plan: MediaPlan,
  { left, lost = {} }: Pick<MediaOutcome, 'left' | 'lost'>,
  approvals: readonly { readonly by: string; readonly reason: string; readonly at: string }[],
  at: string,
): string {
  const { binding } = plan;
  return [
    `# ${markdownText(mediaTitle(plan))}`,
    `Plan ${markdownCode(plan.digest)} of ${plan.createdAt}, requested by ${markdownText(binding.requester)} (asserted), executed by ${at}.`,
    approvals.length === 0
      ? 'No approval is required.'
      : approvals
          .map(
            ({ by, reason, at: when }) =>
              `- approved by ${markdownText(by)} (asserted) at ${when}: ${markdownText(reason)}`,
          )
          .join('\n'),
    markdownTable(
      ['Objects', 'Size', 'What'],
      linesOf(plan).map(([what, count, size]) => [count, size, what]),
    ),
    ...lostTexts(lost).map((line) => `- ${markdownText(line)}`),
    left === 0
      ? 'A comparison of all objects afterwards found nothing left to do.'
      : `A comparison of all objects afterwards found ${left} changes left: objects were written in the meantime. Make a new plan.`,
    '',
  ].join('\n\n');
}

export function mediaOutcomeText(plan: MediaPlan, outcome: MediaOutcome): string {
  const end =
    outcome.left === 0
      ? 'everything is as planned'
      : `${outcome.left} changes are left: objects were written in the meantime, make a new plan`;
  return [
    mediaTitle(plan),
    ...linesOf(plan).map(([what, count, size]) => `  ${count.padStart(9)}  ${size.padStart(10)}  ${what}`),
    ...lostTexts(outcome.lost ?? {}).map((line) => `warning: ${line}`),
    end,
    `report: ${outcome.report}`,
  ].join('\n');
}

export function mediaVerdictText({
  objects,
  bytes,
  read,
  unchecked,
  decoded,
  problems,
  samples,
}: MediaVerdict): string {
  return [
    `${objects} objects (${sizeInWords(bytes)}), ${read} read whole, ${decoded} images decoded: ${problems === 0 ? 'no problem found' : `${problems} problems`}`,
    ...(unchecked > 0
      ? [`  of ${unchecked} only the length was compared, as no checksum of their content is known`]
      : []),
    ...samples.map(({ key, problem }) => `  ${visible(clipBytes(key, 200))}: ${visible(problem)}`),
  ].join('\n');
}

function linesOf({ binding, observed }: MediaPlan): [string, string, string][] {
  const all = { ...binding.counts, ...observed.untouched };
  return (Object.keys(meaning) as (keyof typeof meaning)[])
    .filter((name) => all[name].objects > 0 || name === 'right')
    .map((name) => [meaning[name], String(all[name].objects), sizeInWords(all[name].bytes)]);
}

function placeText({ repository, folder }: MediaPlan['binding']['from']): string {
  return visible(folder === '' ? `repository ${repository}` : `repository ${repository}, folder ${folder}`);
}

function workflowOf({ binding }: MediaPlan): string {
  return mediaWorkflowId(binding.cluster, binding.operationId);
}
