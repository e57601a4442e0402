import { GetBucketLifecycleConfigurationCommand, PutBucketLifecycleConfigurationCommand } from '@aws-sdk/client-s3';
import type { LifecycleRule, Transition, TransitionDefaultMinimumObjectSize } from '@aws-sdk/client-s3';
import type { AgeRule } from '../../../domain/storage/storage-plan.js';
import type { S3Bucket } from '../client.js';
import type { S3Options } from '../options.js';
import { bucketRoot } from '../reading.js';
import { absentAs, gapOf } from './settings.js';
import type { BucketSetting } from './settings.js';

/** Days after which what is left of an upload is removed, where the config does not say. */
const ABORT_INCOMPLETE_DAYS = 7;

/** Smaller objects move to no class: records and manifests can be read at once, and small objects cost more there. */
const SMALL_OBJECTS: TransitionDefaultMinimumObjectSize = 'all_storage_classes_128K';
const SMALL_OBJECT_BYTES = 128 * 1024;
const smallStay = 'objects below 128 KiB change no class';

/** The whole lifecycle of a bucket: ours for this prefix, and everybody else's, which is kept as it is. */
export interface Lifecycle {
  readonly rules: readonly LifecycleRule[];
  /** Absent where the server knows no such thing. */
  readonly smallObjects?: string;
}

export async function readLifecycle(bucket: S3Bucket, signal?: AbortSignal): Promise<Lifecycle> {
  const answer = await absentAs(
    { Rules: undefined, TransitionDefaultMinimumObjectSize: undefined },
    ['NoSuchLifecycleConfiguration'],
    () =>
      bucket.send(
        new GetBucketLifecycleConfigurationCommand({ Bucket: bucket.options.bucket }),
        'reading the lifecycle',
        signal,
      ),
  );
  const { Rules = [], TransitionDefaultMinimumObjectSize: smallObjects } = answer;
  return { rules: Rules, smallObjects };
}

/**
 * Days after which versions that are no longer the present ones go, below a prefix, by the bucket's own rules; by the config
 * where the server has none or the key may not read it. Null: never.
 */
export async function oldVersionDays(bucket: S3Bucket, prefix: string): Promise<number | null> {
  const rules = await readLifecycle(bucket).then(
    (found) => found.rules,
    (error: unknown) => {
      if (gapOf(error) === null) throw error;
      return [ownRule(bucket.options)];
    },
  );
  return fewestOldVersionDays(rules, prefix);
}

export function fewestOldVersionDays(rules: readonly LifecycleRule[], prefix: string): number | null {
  const days = rules
    .filter((rule) => rule.Status === 'Enabled' && meets(prefixOf(rule), prefix))
    .flatMap(({ NoncurrentVersionExpiration }) => NoncurrentVersionExpiration?.NoncurrentDays ?? []);
  return days.length === 0 ? null : Math.min(...days);
}

/** Our one rule, named by the prefix: two repositories in one bucket have each their own. */
export function ownRule(options: S3Options): LifecycleRule {
  const {
    standardIaDays,
    deepArchiveDays,
    noncurrentDeepArchiveDays,
    noncurrentExpireDays,
    abortIncompleteDays = ABORT_INCOMPLETE_DAYS,
  } = options.lifecycle ?? {};
  const Transitions: Transition[] = [];
  if (standardIaDays !== undefined) Transitions.push({ Days: standardIaDays, StorageClass: 'STANDARD_IA' });
  if (deepArchiveDays !== undefined) Transitions.push({ Days: deepArchiveDays, StorageClass: 'DEEP_ARCHIVE' });
  return {
    ID: ruleId(options),
    Status: 'Enabled',
    Filter: { Prefix: bucketRoot(options) },
    Transitions: Transitions.length === 0 ? undefined : Transitions,
    NoncurrentVersionTransitions:
      noncurrentDeepArchiveDays === undefined
        ? undefined
        : [{ NoncurrentDays: noncurrentDeepArchiveDays, StorageClass: 'DEEP_ARCHIVE' }],
    NoncurrentVersionExpiration:
      noncurrentExpireDays === undefined ? undefined : { NoncurrentDays: noncurrentExpireDays },
    // A delete marker with nothing behind it is the last that is left of an object.
    Expiration: noncurrentExpireDays === undefined ? undefined : { ExpiredObjectDeleteMarker: true },
    AbortIncompleteMultipartUpload: { DaysAfterInitiation: abortIncompleteDays },
  };
}

/** S3 takes 255 characters. */
function ruleId({ prefix }: S3Options): string {
  return `reprise/${prefix}`.slice(0, 255);
}

/** Everybody else's rules, then ours. */
export function wantedRules(bucket: S3Bucket, { rules }: Lifecycle): readonly LifecycleRule[] {
  const own = ownRule(bucket.options);
  return [...rules.filter(({ ID }) => ID !== own.ID), own];
}

export const lifecycle: BucketSetting = {
  name: 'lifecycle',
  wanted: ({ options }) => linesOf(ownRule(options), options),
  async inspect(bucket, signal) {
    const found = await readLifecycle(bucket, signal);
    const lines = (rules: readonly LifecycleRule[]) => rules.flatMap((rule) => linesOf(rule, bucket.options));
    const small =
      found.smallObjects === undefined
        ? []
        : [
            found.smallObjects === SMALL_OBJECTS
              ? smallStay
              : 'objects below 128 KiB go to the archive classes as well',
          ];
    return {
      is: [...lines(found.rules), ...small],
      wanted: [
        ...lines(wantedRules(bucket, found)),
        ...(small.length > 0 && archives(bucket.options) ? [smallStay] : small),
      ],
    };
  },
  async change(bucket, signal) {
    const found = await readLifecycle(bucket, signal);
    await bucket.send(
      new PutBucketLifecycleConfigurationCommand({
        Bucket: bucket.options.bucket,
        LifecycleConfiguration: { Rules: [...wantedRules(bucket, found)] },
        ...smallObjectsOf(bucket.options, found),
      }),
      'setting the lifecycle',
      signal,
    );
  },
};

function archives({ lifecycle: wanted }: S3Options): boolean {
  return (wanted?.deepArchiveDays ?? wanted?.noncurrentDeepArchiveDays) !== undefined;
}

/** It holds for the whole bucket: without a rule of ours that needs it, it stays as it is (and has to be sent again). */
export function smallObjectsOf(
  options: S3Options,
  { smallObjects }: Lifecycle,
): { readonly TransitionDefaultMinimumObjectSize?: TransitionDefaultMinimumObjectSize } {
  if (!archives(options))
    return smallObjects === undefined
      ? {}
      : { TransitionDefaultMinimumObjectSize: smallObjects as TransitionDefaultMinimumObjectSize };
  return smallObjects === undefined && options.endpoint !== undefined
    ? {}
    : { TransitionDefaultMinimumObjectSize: SMALL_OBJECTS };
}

/** The rules that some object of the repository falls under, in words that know nothing of S3. */
export function lifecycleAgeRules({ rules, smallObjects }: Lifecycle, options: S3Options): AgeRule[] {
  // Whether another server than Amazon's spares small objects, nobody can tell: that is said apart.
  const spared =
    smallObjects !== undefined && smallObjects !== SMALL_OBJECTS && !archives(options) ? 0 : SMALL_OBJECT_BYTES;
  return rules
    .filter((rule) => rule.Status === 'Enabled' && meets(prefixOf(rule), bucketRoot(options)))
    .map((rule) => ageRule(rule, options, spared));
}

function ageRule(rule: LifecycleRule, options: S3Options, spared: number): AgeRule {
  const { Transitions = [], NoncurrentVersionTransitions = [], NoncurrentVersionExpiration } = rule;
  return {
    name: JSON.stringify(rule.ID ?? ''),
    ours: rule.ID === ruleId(options),
    transitions: Transitions.map(({ Days = 0, StorageClass = '' }) => ({ days: Days, storageClass: StorageClass })),
    expireDays: expires(rule) ? (rule.Expiration?.Days ?? 0) : undefined,
    noncurrentTransitions: NoncurrentVersionTransitions.map(({ NoncurrentDays = 0, StorageClass = '' }) => ({
      days: NoncurrentDays,
      storageClass: StorageClass,
    })),
    noncurrentExpireDays: NoncurrentVersionExpiration?.NoncurrentDays,
    keysFrom: prefixOf(rule).slice(bucketRoot(options).length),
    movesAbove: smallestMoved(rule, spared),
  };
}

/** Whether current objects are removed: after days, or all of them on a date. */
function expires({ Expiration }: LifecycleRule): boolean {
  return Expiration?.Days !== undefined || Expiration?.Date !== undefined;
}

/** Objects of this size and smaller stay. No object of ours has a tag: a rule for tags moves none. */
function smallestMoved({ Filter }: LifecycleRule, spared: number): number {
  if ((Filter?.Tag ?? Filter?.And?.Tags) !== undefined) return Infinity;
  return Filter?.ObjectSizeGreaterThan ?? Filter?.And?.ObjectSizeGreaterThan ?? spared - 1;
}

function prefixOf(rule: LifecycleRule): string {
  return rule.Filter?.And?.Prefix ?? rule.Filter?.Prefix ?? (rule as { readonly Prefix?: string }).Prefix ?? '';
}

function meets(left: string, right: string): boolean {
  return left.startsWith(right) || right.startsWith(left);
}

/** A rule as lines, each with its name, so that a change of one figure is a change of one line. */
function linesOf(rule: LifecycleRule, options: S3Options): string[] {
  const own = rule.ID === ruleId(options);
  const name = `${JSON.stringify(rule.ID ?? '')}${own ? '' : ' (not ours, kept)'}`;
  return [scopeLine(rule), ...currentLines(rule), ...noncurrentLines(rule), ...uploadLines(rule)].map(
    (line) => `${name}: ${line}`,
  );
}

function scopeLine(rule: LifecycleRule): string {
  const { Prefix: _prefix, And, ...conditions } = rule.Filter ?? {};
  const { Prefix: _andPrefix, ...more } = And ?? {};
  const narrowed = { ...conditions, ...more };
  const only = Object.keys(narrowed).length === 0 ? '' : `, only ${JSON.stringify(narrowed)}`;
  const off = rule.Status === 'Enabled' ? '' : ', switched off';
  return `on ${prefixOf(rule) === '' ? 'the whole bucket' : prefixOf(rule)}${only}${off}`;
}

function currentLines(rule: LifecycleRule): string[] {
  const { Transitions = [], Expiration } = rule;
  const lines = Transitions.map(({ Days, Date: on, StorageClass }) => `${when(Days, on)} to ${StorageClass}`);
  if (expires(rule)) lines.push(`${when(Expiration?.Days, Expiration?.Date)} removed`);
  if (Expiration?.ExpiredObjectDeleteMarker === true) lines.push('delete markers without older versions removed');
  return lines;
}

function noncurrentLines({ NoncurrentVersionTransitions = [], NoncurrentVersionExpiration }: LifecycleRule): string[] {
  const kept = (newer: number | undefined): string => (newer === undefined ? '' : `, but the newest ${newer}`);
  const lines = NoncurrentVersionTransitions.map(
    ({ NoncurrentDays, NewerNoncurrentVersions, StorageClass }) =>
      `noncurrent ${when(NoncurrentDays)} to ${StorageClass}${kept(NewerNoncurrentVersions)}`,
  );
  if (NoncurrentVersionExpiration !== undefined) {
    const { NoncurrentDays, NewerNoncurrentVersions } = NoncurrentVersionExpiration;
    lines.push(`noncurrent ${when(NoncurrentDays)} removed${kept(NewerNoncurrentVersions)}`);
  }
  return lines;
}

function uploadLines({ AbortIncompleteMultipartUpload: incomplete }: LifecycleRule): string[] {
  return incomplete === undefined ? [] : [`unfinished uploads ${when(incomplete.DaysAfterInitiation)} removed`];
}

function when(days: number | undefined, on?: Date): string {
  return days === undefined ? `on ${on?.toISOString().slice(0, 10) ?? 'a day not named'}` : `after ${days} days`;
}
