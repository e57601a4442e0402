import { type Backup, isCounted } from '../backup/backup.js';
import type { ClusterConfig, PolicyConfig } from '../config.js';
import { fastestThaw } from './storage-classes.js';
import type { AgeRule, StorageNote, StorageRefusal } from './storage-plan.js';
import { durationInWords } from '../text/text.js';

const DAY_MS = 86_400_000;
const MOST_NAMED = 5;

/** What somebody relies on: that a backup so old is there, and readable in time. */
export interface StoragePromise {
  /** `policy mairie/nightly-dump: retention.days 400`. */
  readonly promise: string;
  /** Oldest age at which it counts; `Infinity` for one without an end. */
  readonly days: number;
  readonly rtoSeconds?: number;
}

/** How old a backup of a policy may get before retention lets it go, for each rule that speaks of time. */
export function promisesOf(policy: PolicyConfig, cluster: Pick<ClusterConfig, 'objectives'>): StoragePromise[] {
  const { days, daily, weekly, monthly, yearly } = policy.retention;
  const spans = { days, daily, weekly: times(weekly, 7), monthly: times(monthly, 31), yearly: times(yearly, 366) };
  return Object.entries(spans).flatMap(([rule, span]) =>
    span === undefined
      ? []
      : [
          {
            promise: `policy ${policy.cluster}/${policy.name}: retention.${rule} ${policy.retention[rule as 'days']}`,
            days: span,
            ...within(cluster),
          },
        ],
  );
}

/** What is promised of a backup that is there: a hold, or that it is one of the newest proven ones. */
export function promisesOfBackups(
  backups: readonly Backup[],
  policy: PolicyConfig,
  cluster: Pick<ClusterConfig, 'objectives'>,
  now: Date,
): StoragePromise[] {
  const sound = backups.filter(
    ({ policy: name, status }) => name === policy.name && (status === 'complete' || status === 'cold'),
  );
  const endOf = (backup: Backup): number => Date.parse(backup.finishedAt ?? backup.startedAt);
  const held = sound.flatMap((backup) => {
    if (backup.heldUntil === null) return [];
    const until = backup.heldUntil === 'infinity' ? Infinity : Date.parse(backup.heldUntil);
    return until <= now.getTime()
      ? []
      : [
          {
            promise: `backup ${backup.id}: held until ${backup.heldUntil}`,
            days: Math.ceil((until - endOf(backup)) / DAY_MS),
            ...within(cluster),
          },
        ];
  });
  const databases = new Set(sound.map(({ database }) => database));
  const proven = [...databases].flatMap((database) =>
    sound
      .filter((backup) => backup.database === database && isCounted(backup))
      .sort((left, right) => endOf(right) - endOf(left))
      .slice(0, policy.retention.minProven)
      .map((backup) => ({
        promise: `backup ${backup.id}: kept by retention.min_proven ${policy.retention.minProven}`,
        days: Math.floor((now.getTime() - endOf(backup)) / DAY_MS),
        ...within(cluster),
      })),
  );
  return [...held, ...proven];
}

/**
 * Where a lifecycle and what is promised contradict each other. An expiration of current objects always does: the newest
 * proven backups stay however old they are. A cold class does where a backup that is still promised would need longer to
 * thaw than its recovery may take; without `objectives.rto` that is only said.
 */
export function checkLifecycle(
  rules: readonly AgeRule[],
  promises: readonly StoragePromise[],
  policies: readonly PolicyConfig[],
): { refusals: StorageRefusal[]; notes: StorageNote[] } {
  const refusals: StorageRefusal[] = [];
  const notes: StorageNote[] = [];
  for (const rule of rules) {
    if (rule.expireDays !== undefined) refusals.push(...expiration(rule, rule.expireDays, promises, policies));
    for (const { days, storageClass } of rule.transitions) {
      const thaw = fastestThaw(storageClass);
      if (thaw === null) continue;
      const where = `rule ${rule.name}: ${storageClass} after ${days} days`;
      const hours = durationInWords(thaw.hours * 3600);
      for (const { promise, days: promised, rtoSeconds } of promises) {
        if (promised <= days) continue;
        if (rtoSeconds === undefined)
          notes.push({
            level: 'warning',
            text: `${where}, and the backup is kept longer (${promise}): its recovery begins with a thaw of ${hours} or more`,
            hint: 'set objectives.rto, so that this can be checked',
          });
        else if (thaw.hours * 3600 > rtoSeconds) {
          refusals.push({
            rule: where,
            promise: `${promise}, objectives.rto ${durationInWords(rtoSeconds)}`,
            text: `${where}, and the backup is kept longer (${promise}): a thaw takes at least ${hours} (${thaw.tier}), objectives.rto allows ${durationInWords(rtoSeconds)}`,
            hint: `${rule.ours ? 'raise the days of that rule in `lifecycle`' : 'change or remove that rule'}${Number.isFinite(promised) ? ` to ${promised} or more` : ''}, or shorten the retention, or raise objectives.rto`,
          });
        }
      }
    }
    notes.push(...noncurrent(rule, promises));
  }
  return { refusals, notes };
}

/**
 * Records and manifests that a rule would make unreadable with age: they are what tells of everything else, and no
 * recovery thaws them. Each is named while it can still be read.
 */
export function checkSmallFiles(
  rules: readonly AgeRule[],
  files: readonly { readonly key: string; readonly sizeBytes: number }[],
): StorageNote[] {
  return rules.flatMap(({ name, transitions, keysFrom = '', movesAbove = 0 }) => {
    const archive = transitions.find(({ storageClass }) => fastestThaw(storageClass) !== null);
    const moved = files
      .filter(({ key, sizeBytes }) => key.startsWith(keysFrom) && sizeBytes > movesAbove)
      .map(({ key }) => key);
    if (archive === undefined || moved.length === 0) return [];
    const named = `${moved.slice(0, MOST_NAMED).join(', ')}${moved.length > MOST_NAMED ? ` and ${moved.length - MOST_NAMED} more` : ''}`;
    return [
      {
        level: 'warning' as const,
        text: `rule ${name}: ${archive.storageClass} after ${archive.days} days also moves records and manifests, which must be readable at once: ${named}`,
        hint: 'afterwards such a backup can be recovered only when its manifest is thawed by hand. Before that, copy these files onto themselves (aws s3 cp --metadata-directive REPLACE), which makes them new, or limit that rule with ObjectSizeGreaterThan',
      },
    ];
  });
}

function expiration(
  rule: AgeRule,
  days: number,
  promises: readonly StoragePromise[],
  policies: readonly PolicyConfig[],
): StorageRefusal[] {
  const where = `rule ${rule.name}: removes objects after ${days} days`;
  const hint = 'remove that rule, or exclude this prefix from it: only Reprise may remove backups';
  const broken = promises.filter((promise) => promise.days > days).map(({ promise }) => promise);
  const always = policies.map(
    (policy) => `policy ${policy.cluster}/${policy.name}: retention.min_proven ${policy.retention.minProven}`,
  );
  return [...broken, ...always].map((promise) => ({
    rule: where,
    promise,
    text: `${where}, but these backups must be kept (${promise})`,
    hint,
  }));
}

/** Versions that rotation or a mistake left behind: nothing is promised of them, but somebody should know. */
function noncurrent(rule: AgeRule, promises: readonly StoragePromise[]): StorageNote[] {
  const { noncurrentExpireDays: days } = rule;
  const longest = Math.max(0, ...promises.map((promise) => promise.days).filter(Number.isFinite));
  if (days === undefined || days >= longest) return [];
  return [
    {
      level: 'warning',
      text: `rule ${rule.name}: noncurrent versions are removed after ${days} days, and retention is ${longest} days: what was removed by mistake can be recovered for ${days} days only`,
      hint: 'raise lifecycle.noncurrent_expire_days if that is too short',
    },
  ];
}

function within({ objectives }: Pick<ClusterConfig, 'objectives'>): { rtoSeconds?: number } {
  return objectives.rtoSeconds === undefined ? {} : { rtoSeconds: objectives.rtoSeconds };
}

function times(amount: number | undefined, days: number): number | undefined {
  return amount === undefined ? undefined : amount * days;
}
