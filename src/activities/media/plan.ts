import { linesToAdd, mayApprove, needsApproval, whyNobodyApproves } from '../../domain/approval/approval-policy.js';
import { RepriseError } from '../../domain/errors.js';
import { lostTexts } from '../../domain/media/media-text.js';
import {
  type LostTrait,
  type MediaBinding,
  type MediaChange,
  type MediaCount,
  type MediaPlan,
  mediaChanges,
} from '../../domain/media/media.js';
import type { MediaScan } from '../../media/scan.js';
import { LostCounter, type LostOnCopy } from '../../media/lost.js';
import { type MediaPlace, objectsOf } from '../../media/place.js';
import { type MediaSummary, summarise } from '../../media/summary.js';
import { type MediaRun, actionsOf } from '../../media/carry-out.js';
import { planDigest } from '../../records/digest.js';
import type { WritableObjects } from '../../storage/storage.js';
import type { MediaRequest } from '../api.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { mediaOf, placesOf, workOf } from './places.js';
import type { ClusterContext } from '../cluster-context.js';

/** How long a plan that needs no approval stays good, in ms. */
const UNAPPROVED_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Lists, compares and counts; says exactly what would be done, and refuses what cannot end well. Reads only. */
export async function makeMediaPlan(
  clusterContext: ClusterContext,
  request: MediaRequest,
  run: Pick<ActivityRun, 'report' | 'signal'>,
  scan?: MediaScan,
): Promise<MediaPlan> {
  const { cluster, deps } = clusterContext;
  const { task } = request.order;
  const media = mediaOf(clusterContext, request.order.media);
  const action = `media-${task.kind}` as const;
  const policy = cluster.approvals[action];
  if (!policy && needsApproval(action))
    throw new RepriseError(
      'policy-missing',
      `no policy says who may approve ${action} for ${cluster.name}`,
      linesToAdd(action, cluster.name),
    );
  const createdAt = new Date();
  if (task.kind === 'recover' && Date.parse(task.to) > createdAt.getTime())
    throw new RepriseError('target-invalid', `${task.to} is in the future`, 'name a time before the damage');
  if (task.kind === 'recover' && task.into !== undefined && task.later === 'remove') {
    throw new RepriseError(
      'usage',
      `nothing is removed from ${task.into}: only objects that existed at ${task.to} are copied there`,
      `omit --later remove; to make both equal afterwards: reprise media sync NAME --into ${task.into} --delete`,
    );
  }
  const named = { media: media.name, task, ...placesOf(clusterContext, media, task) };
  const work = workOf(clusterContext, named);
  const stated = [...(await warningsOf(work)), ...(await forgotten(work, createdAt))];
  const rights = await rightsOf(work);
  const lost = new LostCounter(work, rights.refused, run.signal);
  // Looked at once is enough: what a second plan is compared by are its changes.
  const { counts, changes, cold, samples, ...leftOut } = await countAll(work, run, scan, scan ? undefined : lost);
  const nobody = policy ? whyNobodyApproves(policy, request.requester) : null;
  const warnings = [
    ...(nobody === null ? [] : [nobody]),
    ...stated,
    ...coldWarnings(cold, rights.mayUndelete),
    ...leftOutWarnings(leftOut),
    ...rightWarnings(rights, counts),
    ...lostWarnings(lost.found),
  ];
  if (task.kind === 'sync' && counts.remove.objects > task.maxDelete) {
    throw new RepriseError(
      'confirmation-needed',
      `the sync would remove ${counts.remove.objects} objects, and at most ${task.maxDelete} are allowed`,
      `look at them with --dry-run and --max-delete ${counts.remove.objects}; is ${media.name} whole?`,
    );
  }
  const binding: MediaBinding = {
    action,
    operationId: request.operationId,
    cluster: cluster.name,
    targetHost: deps.host,
    ...named,
    counts: only(counts),
    changes,
    configDigest: deps.config.digest,
    requester: request.requester,
  };
  const { right, keep } = counts;
  const approval = policy ? { approvers: policy.approvers, from: mayApprove(policy, request.requester) } : null;
  return {
    digest: planDigest(binding),
    binding,
    observed: { untouched: { right, keep }, samples, approval, warnings },
    createdAt: createdAt.toISOString(),
    approveBy: new Date(
      createdAt.getTime() + (policy ? policy.approveWithinSeconds * 1000 : UNAPPROVED_MS),
    ).toISOString(),
  };
}

/** What is still to be done. */
export function countAll(
  work: MediaRun,
  { report, signal }: Pick<ActivityRun, 'report' | 'signal'>,
  scan?: MediaScan,
  lost?: LostCounter,
): Promise<MediaSummary> {
  const seen = lost ? lost.over(actionsOf(work)) : actionsOf(work);
  return summarise(scan ? scan.over(seen) : seen, (done) => {
    signal.throwIfAborted();
    report({ phase: 'list', done, unit: 'files' });
  });
}

function only(counts: MediaSummary['counts']): Record<MediaChange, MediaCount> {
  return Object.fromEntries(mediaChanges.map((name) => [name, counts[name]])) as Record<MediaChange, MediaCount>;
}

/** Refuses what has no versions, or none whose times say what was there at an instant. */
async function warningsOf(work: MediaRun): Promise<readonly string[]> {
  if (work.kind === 'sync')
    return (await keepsVersions(work.into))
      ? []
      : ['the target keeps no versions: objects that are overwritten or removed there cannot be recovered'];
  const source = work.kind === 'restore' ? work.place : work.from;
  const objects = objectsOf(source);
  const state = await objects.versioning();
  if (state === 'off' || (state === 'suspended' && work.kind === 'restore')) {
    throw new RepriseError(
      'capability-missing',
      `the bucket ${objects.place.bucket} ${state === 'off' ? 'keeps no versions' : 'has suspended versioning: a new object replaces the old one'}`,
      'switch versioning on (reprise storage plan shows how); objects that were lost before have no version',
    );
  }
  const { times, detail } = await timesOf(objects);
  if (times === 'superseded')
    throw new RepriseError(
      'capability-missing',
      `on this server ${detail}`,
      'restore single objects by hand, by their version; for a recovery the server must keep the times of versions',
    );
  return [
    ...(times === 'written' ? [] : [`whether the server keeps the times of old versions is not known: ${detail}`]),
    ...(state === 'suspended'
      ? ['versioning is suspended: objects that were written since then have no versions']
      : []),
    ...(work.kind === 'restore-into' && !(await keepsVersions(work.into))
      ? ['the target keeps no versions: objects that are overwritten there cannot be recovered']
      : []),
  ];
}

/** What was overwritten or deleted longer ago than the bucket keeps old versions looks as if it had never been there. */
async function forgotten(work: MediaRun, now: Date): Promise<readonly string[]> {
  if (work.kind === 'sync') return [];
  const source = work.kind === 'restore' ? work.place : work.from;
  const days = await objectsOf(source).oldVersionDays(source.folder);
  if (days === null || work.at >= now.getTime() - days * DAY_MS) return [];
  const what = `the bucket removes old versions after ${days} days: what was overwritten or deleted since ${new Date(work.at).toISOString()} may be gone`;
  if (work.kind === 'restore' && work.later === 'remove')
    throw new RepriseError(
      'target-invalid',
      `${what}; such objects cannot be distinguished from objects that were added later`,
      'omit --later remove, or name a later time',
    );
  return [what];
}

interface Rights {
  /** Each with the bucket in which the key lacks it. */
  readonly missing: readonly { readonly right: string; readonly bucket: string }[];
  readonly mayUndelete: boolean;
  /** What copies cannot be given for that reason. */
  readonly refused: readonly LostTrait[];
}

/** What the keys may not do, tried without changing anything, so that people know it before they approve. */
async function rightsOf(work: MediaRun): Promise<Rights> {
  const from = work.kind === 'restore' ? work.place : work.from;
  const into = work.kind === 'restore' ? work.place : work.into;
  const lacking = async ({ storage: { objects }, folder }: MediaPlace, side: 'reading' | 'writing') =>
    objects
      ? (await objects.missingRights(folder, side)).map((right) => ({ right, bucket: objects.place.bucket }))
      : [];
  const writing = await lacking(into, 'writing');
  const missing = [
    ...(into.storage.objects ? await lacking(from, 'reading') : []),
    // Only what lies there in versions is undeleted.
    ...writing.filter(({ right }) => work.kind === 'restore' || right !== 's3:DeleteObjectVersion'),
  ];
  const lacks = (right: string): boolean => writing.some((one) => one.right === right);
  return {
    missing,
    mayUndelete: !lacks('s3:DeleteObjectVersion'),
    refused: [
      ...(lacks('s3:PutObjectAcl') ? (['acl'] as const) : []),
      ...(lacks('s3:PutObjectTagging') ? (['tags'] as const) : []),
    ],
  };
}

function rightWarnings({ missing }: Rights, counts: MediaSummary['counts']): readonly string[] {
  const { undelete, copy, overwrite } = counts;
  const copies = copy.objects + overwrite.objects;
  const hint = ({ right, bucket }: Rights['missing'][number]): string =>
    `the key lacks the right ${right} in the bucket ${bucket}`;
  return missing.flatMap((one) => {
    if (one.right === 's3:DeleteObjectVersion')
      return undelete.objects === 0
        ? []
        : [
            `${hint(one)}: delete markers cannot be removed, so that ${undelete.objects} deleted objects are copied on top of them, and take room twice`,
          ];
    if (copies + undelete.objects === 0) return [];
    return [
      one.right === 's3:GetObjectVersion'
        ? `${hint(one)}: old versions cannot be read, and their copies will be refused`
        : `${hint(one)}: copies are made without what it is about`,
    ];
  });
}

function lostWarnings({ counts, lookedAt, copies }: LostOnCopy): readonly string[] {
  const some = copies > lookedAt ? `of the first ${lookedAt} of ${copies} copies: ` : '';
  return lostTexts(counts).map((line) => `${some}${line}`);
}

/** @throws RepriseError `object-cold` where something would have to be copied that cannot be read */
function coldWarnings(
  { copied: toCopy, undeleted, first }: MediaSummary['cold'],
  mayUndelete: boolean,
): readonly string[] {
  const copied = toCopy + (mayUndelete ? 0 : undeleted);
  if (copied > 0) {
    throw new RepriseError(
      'object-cold',
      `${copied} objects to copy are in an archive class and cannot be read now (${JSON.stringify(first)}, ...)`,
      'have these versions thawed (aws s3api restore-object --version-id ...), then make the plan again',
    );
  }
  return undeleted > 0
    ? [`${undeleted} objects are restored in an archive class: they cannot be read before they are thawed`]
    : [];
}

function leftOutWarnings({ unfit, irregular }: Pick<MediaSummary, 'unfit' | 'irregular'>): readonly string[] {
  const kinds = [...irregular.counts].map(([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`).join(', ');
  return [
    ...(unfit.objects > 0
      ? [
          `${unfit.objects} objects are not copied, because the target cannot store their names (the first: ${JSON.stringify(unfit.first)})`,
        ]
      : []),
    ...(irregular.first === null
      ? []
      : [
          `not copied: ${kinds} (the first: ${JSON.stringify(irregular.first)}); what the target has under their names stays as it is`,
        ]),
  ];
}

async function keepsVersions({ storage }: MediaPlace): Promise<boolean> {
  return (await storage.objects?.versioning()) === 'enabled';
}

const tried = new WeakMap<WritableObjects, ReturnType<WritableObjects['versionTimes']>>();

/** Tried once a bucket and worker: a server does not change its ways, and the trial takes seconds. */
function timesOf(objects: WritableObjects): ReturnType<WritableObjects['versionTimes']> {
  const known = tried.get(objects) ?? objects.versionTimes();
  tried.set(objects, known);
  known.catch(() => tried.delete(objects));
  return known;
}
