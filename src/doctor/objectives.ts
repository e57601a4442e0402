import type { ClusterConfig, PolicyConfig } from '../domain/config.js';
import { warning, type Finding } from '../domain/findings.js';
import { previousRuns } from '../config/schedule.js';
import { durationInWords } from '../domain/text/text.js';
import { engineKinds } from '../engines/registry.js';

/** Runs looked at for the longest pause between two of them: a year of a weekly schedule. */
const RUNS = 53;

/** Whether schedules and retention, as the config has them, can keep what `objectives` promises. */
export function objectiveFindings(cluster: ClusterConfig, now = new Date()): readonly Finding[] {
  const policies = Object.values(cluster.policies).filter(({ enabled }) => enabled);
  return [
    ...rpoFindings(cluster, policies, now),
    ...policies.flatMap((policy) => retentionFindings(cluster, policy, now)),
  ];
}

/** Without archived WAL everything since the last backup is lost. */
function rpoFindings(
  { name, objectives: { rpoSeconds } }: ClusterConfig,
  policies: readonly PolicyConfig[],
  now: Date,
): readonly Finding[] {
  if (
    rpoSeconds === undefined ||
    policies.length === 0 ||
    policies.some(({ engine }) => engineKinds[engine]?.capabilities.archivesWal)
  )
    return [];
  const pauses = policies.flatMap((policy) => longestPause(policy, now) ?? []);
  const shortest = pauses.length === 0 ? null : Math.min(...pauses);
  if (shortest !== null && shortest <= rpoSeconds) return [];
  const every =
    shortest === null ? 'backups are taken only when asked for' : `backups are ${durationInWords(shortest)} apart`;
  const message = `cluster ${name}: the objective rpo of ${durationInWords(rpoSeconds)} cannot be met: ${every}, and no policy archives WAL`;
  return [
    warning(
      `cluster/${name}/rpo`,
      message,
      'add a policy whose engine archives WAL (engine: pgbackrest), or set an objective that can be met: objectives: { rpo: ... }',
    ),
  ];
}

function retentionFindings({ name }: ClusterConfig, policy: PolicyConfig, now: Date): readonly Finding[] {
  const check = `cluster/${name}/retention/${policy.name}`;
  const findings: Finding[] = [];
  if (policy.proof === 'none') {
    findings.push(
      warning(
        check,
        `policy ${policy.name} of ${name} verifies no backup: it is not known whether one can be restored, and rotation removes nothing`,
        'set proof: verify',
      ),
    );
  }
  const { days, minProven } = policy.retention;
  const pause = longestPause(policy, now);
  if (days !== undefined && pause !== null && pause > days * 86_400) {
    findings.push(
      warning(
        check,
        `policy ${policy.name} of ${name} keeps backups for ${days} days and takes one every ${durationInWords(pause)}: only min_proven (${minProven}) keeps any`,
        `set retention: { days: ${Math.ceil((2 * pause) / 86_400)} }, or take backups more often`,
      ),
    );
  }
  return findings;
}

/** Longest time between two runs, in seconds; null without a schedule. */
function longestPause({ schedule }: PolicyConfig, now: Date): number | null {
  if (schedule === undefined) return null;
  const due = previousRuns(schedule, now, RUNS).map((time) => time.getTime() / 1000);
  const pauses = due.slice(1).map((earlier, index) => (due[index] ?? earlier) - earlier);
  return pauses.length === 0 ? null : Math.max(...pauses);
}
