import type { ClusterConfig, PolicyConfig, ScheduleConfig } from '../config.js';
import type { Finding } from '../findings.js';
import type { PageErrorLine } from '../operation/inspections.js';
import { durationInWords } from '../text/text.js';
import { type Backup, isCounted } from './backup.js';
import { sinceRestoreTest } from './restore-turn.js';

/** The last `count` times, newest first, at which a schedule was due up to an instant; fewer where it never was. */
export type PreviousRuns = (schedule: ScheduleConfig, upTo: Date, count: number) => readonly Date[];

/** A figure for graphs, in seconds; from `warn` and `crit` on it is a finding. */
export interface Figure {
  readonly name: string;
  readonly seconds: number;
  readonly warn?: number;
  readonly crit?: number;
}
export interface Freshness {
  readonly findings: readonly Finding[];
  readonly figures: readonly Figure[];
}

/** Backups named by their second may have begun a little before the run that was due. */
const EARLY_SECONDS = 60;

/**
 * Whether each policy's newest backup, and its newest verified backup, are as recent as schedule and objectives ask. One run
 * that is late by more than its catch-up window is a warning, two are a problem; the verified one may be one run older.
 */
export function freshness(
  cluster: ClusterConfig,
  backups: readonly Backup[],
  previousRuns: PreviousRuns,
  now = new Date(),
): Freshness {
  const enabled = Object.values(cluster.policies).filter((policy) => policy.enabled);
  const parts = enabled.flatMap((policy) => {
    const own = backups.filter((backup) => backup.policy === policy.name);
    return partsOf(cluster, own).map((database) =>
      policyFreshness(
        cluster,
        policy,
        database,
        database === null ? own : own.filter((backup) => backup.database === database),
        { now, previousRuns },
      ),
    );
  });
  return {
    findings: [
      ...parts.flatMap(({ findings }) => findings),
      ...objectiveFindings(cluster, enabled, backups, now),
      ...damageFindings(cluster, backups),
    ],
    figures: parts.flatMap(({ figures }) => figures),
  };
}

/** Each database, where backups are of one database at a time; null for the cluster as a whole. */
function partsOf({ databases }: ClusterConfig, backups: readonly Backup[]): readonly (string | null)[] {
  return backups.some(({ database }) => database !== undefined) ? databases : [null];
}

function policyFreshness(
  cluster: ClusterConfig,
  policy: PolicyConfig,
  database: string | null,
  backups: readonly Backup[],
  { now, previousRuns }: { readonly now: Date; readonly previousRuns: PreviousRuns },
): Freshness {
  const what = `${cluster.name}/${policy.name}${database === null ? '' : `/${database}`}`;
  const age = (backup: Backup | undefined): number | null =>
    backup === undefined ? null : (now.getTime() - Date.parse(backup.startedAt)) / 1000;
  const good = backups.filter(({ status }) => status === 'complete' || status === 'cold');
  const proven = good.filter((backup) => meets(policy, backup));
  const [newestAge, provenAge] = [age(good.at(-1)), age(proven.at(-1))];
  const limits = limitsOf(policy, now, previousRuns);
  const findings = [backupFinding(cluster, policy, what, newestAge, limits)];
  if (newestAge !== null && policy.proof !== 'none')
    findings.push(proofFinding(policy, what, provenAge, newestAge, limits));
  const restoredAge = age(good.findLast(({ proven: proof }) => proof?.level === 'restored'));
  findings.push(...restoreFindings(policy, what, restoredAge, sinceRestoreTest(good).length));
  return {
    findings,
    figures: [
      ...(newestAge === null
        ? []
        : [
            {
              name: `${what} age`,
              seconds: newestAge,
              warn: limits?.warn,
              crit: limits?.crit,
            },
          ]),
      ...(provenAge === null ? [] : [{ name: `${what} proof age`, seconds: provenAge, warn: limits?.crit }]),
      ...(restoredAge === null ? [] : [{ name: `${what} restore test age`, seconds: restoredAge }]),
    ],
  };
}

/** How old the newest backup is that was restored; a finding where the policy has each n-th restored and was not heard. */
function restoreFindings(
  { proof, restoreEvery }: PolicyConfig,
  what: string,
  age: number | null,
  since: number,
): readonly Finding[] {
  // Where each one is restored, the finding of the proof says it.
  if (proof === 'restore' || (restoreEvery === undefined && age === null)) return [];
  const check = `restore/${what}`;
  const words =
    age === null
      ? `no backup of ${what} was restore-tested yet`
      : `the newest restore-tested backup of ${what} is ${durationInWords(age)} old`;
  // The one that was just made may still be restored.
  if (restoreEvery === undefined || since <= restoreEvery) return [{ check, level: 'ok', message: words, fix: null }];
  return [
    {
      check,
      level: 'warning',
      message: `${words}: ${since} were made since, and restore_every is ${restoreEvery}`,
      fix: 'reprise backup verify ID --restore, with an ID of reprise backup list; reprise status says why none was',
    },
  ];
}

function meets({ proof }: PolicyConfig, backup: Backup): boolean {
  return proof === 'restore' ? backup.proven?.level === 'restored' : isCounted(backup);
}

interface Limits {
  /** Seconds. A backup older than this missed its last run, and the time to catch up is over. */
  readonly warn: number;
  /** A backup older than this missed two runs. */
  readonly crit: number;
}

/** Null without a schedule: then no backup is due. */
function limitsOf({ schedule }: PolicyConfig, now: Date, previousRuns: PreviousRuns): Limits | null {
  if (schedule === undefined) return null;
  const since = previousRuns(schedule, now, 3).map((time) => (now.getTime() - time.getTime()) / 1000 + EARLY_SECONDS);
  const [last, before, third] = since;
  if (last === undefined || before === undefined) return null;
  // Until the catch-up window is over, the last run may still come.
  const isLate = last - EARLY_SECONDS > schedule.catchUpSeconds;
  return isLate ? { warn: last, crit: before } : { warn: before, crit: third ?? before };
}

function backupFinding(
  { name }: ClusterConfig,
  { name: policy }: PolicyConfig,
  what: string,
  age: number | null,
  limits: Limits | null,
): Finding {
  const check = `backup/${what}`;
  const fix = `reprise backup run ${name} --policy ${policy}; to see why it was missed: reprise schedule list, reprise doctor`;
  if (age === null) return { check, level: 'problem', message: `${what} has no backup`, fix };
  const words = `the newest backup of ${what} is ${durationInWords(age)} old`;
  if (limits !== null && age > limits.crit)
    return { check, level: 'problem', message: `${words}: two runs of its schedule were missed`, fix };
  if (limits !== null && age > limits.warn)
    return { check, level: 'warning', message: `${words}: its last run was missed`, fix };
  return { check, level: 'ok', message: words, fix: null };
}

function proofFinding(
  { proof }: PolicyConfig,
  what: string,
  age: number | null,
  newestAge: number,
  limits: Limits | null,
): Finding {
  const check = `proof/${what}`;
  const [verified, flag] = proof === 'restore' ? ['restore-tested', ' --restore'] : ['verified', ''];
  const fix = `reprise backup verify ID${flag}, with an ID of reprise backup list`;
  // A backup that was just taken may still be read.
  const grace = limits?.crit ?? newestAge;
  if (age === null)
    return {
      check,
      level: newestAge > grace ? 'problem' : 'warning',
      message: `no backup of ${what} is ${verified}`,
      fix,
    };
  const words = `the newest ${verified} backup of ${what} is ${durationInWords(age)} old`;
  return limits !== null && age > limits.crit
    ? { check, level: 'warning', message: words, fix }
    : { check, level: 'ok', message: words, fix: null };
}

/** Without WAL in the archive a loss costs all since the newest backup; with it, the archive's own findings speak. */
function objectiveFindings(
  { name, objectives: { rpoSeconds } }: ClusterConfig,
  enabled: readonly PolicyConfig[],
  backups: readonly Backup[],
  now: Date,
): readonly Finding[] {
  const own = backups.filter(
    ({ policy, status }) => status === 'complete' && enabled.some((one) => one.name === policy),
  );
  const newest = Math.max(...own.map(({ startedAt }) => Date.parse(startedAt)));
  if (rpoSeconds === undefined || own.length === 0 || own.some(({ wal }) => wal !== undefined)) return [];
  const age = (now.getTime() - newest) / 1000;
  if (age <= rpoSeconds) return [];
  const message = `if ${name} is lost now, ${durationInWords(age)} of data are lost, more than its rpo of ${durationInWords(rpoSeconds)}`;
  return [
    {
      check: `objective/${name}/rpo`,
      level: 'problem',
      message,
      fix: `reprise backup run ${name}; permanently: a policy whose engine archives WAL`,
    },
  ];
}

const DAMAGE_FIX = {
  quarantined: 'find out what damaged it (the disk?), then: reprise backup verify ID',
  missing: 'find out which program removed the files; stop any other tool (cron) that expires them',
  partial:
    'they count for nothing and no recovery uses them: reprise backup show ID says what is missing. Have pg_dump write whole dumps',
} as const;

function damageFindings({ name }: ClusterConfig, backups: readonly Backup[]): readonly Finding[] {
  return (Object.keys(DAMAGE_FIX) as (keyof typeof DAMAGE_FIX)[]).flatMap((status): Finding[] => {
    const ids = backups.filter((backup) => backup.status === status).map(({ id }) => id);
    if (ids.length === 0) return [];
    const message = `${ids.length} backup${ids.length === 1 ? '' : 's'} of ${name} ${ids.length === 1 ? 'is' : 'are'} ${status}: ${ids.slice(-3).join(', ')}`;
    return [{ check: `backup/${name}/${status}`, level: 'warning', message, fix: DAMAGE_FIX[status] }];
  });
}

/** Damaged pages of a cluster, that made a backup fail or that its newest backup holds: they do not go away by themselves. */
export function pageFindings(
  { name, policies }: Pick<ClusterConfig, 'name' | 'policies'>,
  backups: readonly Backup[],
  failures: readonly PageErrorLine[],
): readonly Finding[] {
  const fix = 'find the table or index and restore it; look at the disk: docs/runbooks/damaged-pages.md';
  return Object.keys(policies).flatMap((policy): Finding[] => {
    const check = `pages/${name}/${policy}`;
    const failed = failures.find((line) => line.policy === policy);
    if (failed !== undefined)
      return [
        {
          check,
          level: 'problem',
          message: `the backup of ${name}/${policy} of ${failed.at} failed: ${failed.reason}`,
          fix,
        },
      ];
    const newest = backups.findLast((backup) => backup.policy === policy);
    const held = newest?.pageErrors?.join(', ');
    if (newest === undefined || held === undefined) return [];
    return [
      { check, level: 'problem', message: `backup ${newest.id} was taken in spite of damaged pages: ${held}`, fix },
    ];
  });
}
