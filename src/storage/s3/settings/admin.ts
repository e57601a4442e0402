import { isRepriseError } from '../../../domain/errors.js';
import { isCold, minimumCharge } from '../../../domain/storage/storage-classes.js';
import type {
  AppliedSetting,
  StorageNote,
  StorageSetting,
  StorageSurvey,
} from '../../../domain/storage/storage-plan.js';
import type { StorageAdmin } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { lifecycleAgeRules, lifecycle, ownRule, readLifecycle, wantedRules } from './lifecycle.js';
import type { Lifecycle } from './lifecycle.js';
import type { S3Options } from '../options.js';
import { probeConditionalCreate, probeVersionTimes } from './probe.js';
import { createBucket, gapOf, plainSettings, regionOf } from './settings.js';

const settings = [...plainSettings, lifecycle];
/** Whatever goes to DEEP_ARCHIVE is charged for so long. */
const ARCHIVE_DAYS = 180;

/** What can be set of a bucket. */
export function s3Admin(bucket: S3Bucket): StorageAdmin {
  return {
    survey: (signal) => survey(bucket, signal),
    apply: (names, signal) => apply(bucket, names, signal),
  };
}

async function survey(bucket: S3Bucket, signal?: AbortSignal): Promise<StorageSurvey> {
  const { options } = bucket;
  const region = await regionOf(bucket, signal);
  const there = region !== null;
  const seen = there
    ? await Promise.all(settings.map((setting) => inspect(bucket, setting, signal)))
    : settings.map((setting) => absent(bucket, setting));
  const found: Lifecycle | null = there ? await lifecycleOf(bucket, signal) : { rules: [] };
  return {
    place: placeOf(options),
    there,
    settings: [bucketSetting(options, region), ...seen],
    rules: found === null ? [] : lifecycleAgeRules({ ...found, rules: wantedRules(bucket, found) }, options),
    notes: [
      ...(there ? await tried(bucket, signal) : []),
      ...costs(options, found?.smallObjects !== undefined),
      ...forgets(options),
    ],
  };
}

/** Null where the server has none, or the key may not read it. */
async function lifecycleOf(bucket: S3Bucket, signal?: AbortSignal): Promise<Lifecycle | null> {
  try {
    return await readLifecycle(bucket, signal);
  } catch (error) {
    if (gapOf(error) === null) throw error;
    return null;
  }
}

async function apply(
  bucket: S3Bucket,
  names: readonly string[],
  signal?: AbortSignal,
): Promise<readonly AppliedSetting[]> {
  const applied: AppliedSetting[] = [];
  const one = async (name: string, change: () => Promise<void>): Promise<void> => {
    if (!names.includes(name)) return;
    try {
      await change();
      applied.push({ name, done: true });
    } catch (error) {
      if (!isRepriseError(error) || (error.code === 'storage-unreachable' && gapOf(error) === null)) throw error;
      applied.push({
        name,
        done: false,
        detail: gapOf(error)?.detail ?? `the server refused it (${String(error.details['s3'])})`,
      });
    }
  };
  await one('bucket', () => createBucket(bucket, signal));
  for (const setting of settings) await one(setting.name, () => setting.change(bucket, signal));
  return applied;
}

function bucketSetting({ region }: S3Options, found: string | null): StorageSetting {
  const line = (where: string) => `exists in ${where}`;
  if (found === null) return { name: 'bucket', is: [], wanted: [line(region)], verdict: 'change' };
  if (found === '' || found === region)
    return { name: 'bucket', is: [line(region)], wanted: [line(region)], verdict: 'same' };
  return {
    name: 'bucket',
    is: [line(found)],
    wanted: [line(region)],
    verdict: 'fixed',
    detail: 'a bucket cannot be moved: set `region` to its region, or name another bucket',
  };
}

async function inspect(
  bucket: S3Bucket,
  setting: (typeof settings)[number],
  signal?: AbortSignal,
): Promise<StorageSetting> {
  const { name } = setting;
  try {
    const { is, wanted, detail } = await setting.inspect(bucket, signal);
    const same = is.length === wanted.length && is.every((line) => wanted.includes(line));
    return { name, is, wanted, verdict: same ? 'same' : 'change', detail };
  } catch (error) {
    const gap = gapOf(error);
    if (gap === null) throw error;
    return { name, is: [], wanted: setting.wanted(bucket), ...gap };
  }
}

function absent(bucket: S3Bucket, setting: (typeof settings)[number]): StorageSetting {
  const wanted = setting.wanted(bucket);
  return { name: setting.name, is: [], wanted, verdict: wanted.length === 0 ? 'same' : 'change' };
}

/** What only a trial shows. A key that may not write is no reason to stop. */
async function tried(bucket: S3Bucket, signal?: AbortSignal): Promise<StorageNote[]> {
  try {
    const [conditional, { times, detail }] = await Promise.all([
      probeConditionalCreate(bucket, signal),
      probeVersionTimes(bucket, signal),
    ]);
    return [
      conditional === false
        ? {
            level: 'warning',
            text: 'the server overwrites an object that may be created only if absent',
            hint: 'it cannot contain the catalogue of a cluster: set another `catalogue` for the clusters',
          }
        : {
            level: 'info',
            text:
              conditional === true
                ? 'creation only if absent: works'
                : "creation only if absent: not tested, because the bucket's compliance lock would keep the test object",
          },
      times === 'superseded'
        ? {
            level: 'warning',
            text: `times of versions: ${detail}`,
            hint: 'media cannot be recovered to a point in time here; backups are not affected',
          }
        : { level: 'info', text: `times of versions: ${detail}` },
    ];
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'storage-refused') throw error;
    return [
      {
        level: 'warning',
        text: `writing could not be tested: ${error.message}`,
        hint: error.hint,
      },
    ];
  }
}

/** Minimum charges of the classes that the config moves objects to; whether small objects are left out, Amazon alone is known to say. */
function costs(options: S3Options, sparesSmall: boolean): StorageNote[] {
  const { Transitions = [], NoncurrentVersionTransitions = [] } = ownRule(options);
  const classes = [
    ...new Set([...Transitions, ...NoncurrentVersionTransitions].map(({ StorageClass = '' }) => String(StorageClass))),
  ];
  const charges = classes.map(minimumCharge).filter((charge) => charge !== null);
  const records = options.endpoint !== undefined && !sparesSmall && classes.some(isCold);
  return [
    ...charges.map((text): StorageNote => ({ level: 'info', text })),
    ...(records
      ? [
          {
            level: 'warning' as const,
            text: 'Amazon leaves objects below 128 KiB in STANDARD; it is not known whether this server does: records and manifests may also be moved to an archive class',
            hint: "see that server's documentation, or keep `catalogue` in another repository",
          },
        ]
      : []),
  ];
}

/** A versioned bucket keeps every version for ever, unless a rule says otherwise. */
function forgets(options: S3Options): StorageNote[] {
  const { noncurrentExpireDays, noncurrentDeepArchiveDays } = options.lifecycle ?? {};
  if ((options.versioning !== true && options.objectLock === undefined) || noncurrentExpireDays !== undefined)
    return [];
  // Removed earlier, a version in the archive is charged for all the same.
  const days = (noncurrentDeepArchiveDays ?? 0) + ARCHIVE_DAYS;
  return [
    {
      level: 'warning',
      text: 'versions are kept and never expire: what rotation removes is still stored and costs money',
      hint: `add noncurrent_expire_days: ${days} to \`lifecycle\``,
    },
  ];
}

function placeOf({ bucket, prefix, region, endpoint }: S3Options): string {
  return `bucket ${bucket}${prefix === '' ? '' : `/${prefix}`} ${endpoint === undefined ? `in ${region}` : `at ${endpoint}`}`;
}
