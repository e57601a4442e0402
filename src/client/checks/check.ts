import type { Figure } from '../../domain/backup/freshness.js';
import { walFindings } from '../../domain/backup/wal-findings.js';
import type { Config } from '../../domain/config.js';
import type { Finding } from '../../domain/findings.js';
import { CONTROL_QUEUE, lightQueue } from '../../domain/operation/names.js';
import { runInspection } from '../inspect.js';
import { connectTemporal } from '../connect.js';
import type { TemporalSettings } from '../connect.js';
import { toRepriseError } from '../errors.js';
import { temporalFindings } from './temporal-findings.js';

export interface ClusterCheckResult {
  readonly findings: readonly Finding[];
  readonly figures: readonly Figure[];
}

/** What can break from one hour to the next, of these clusters; what only a change of the config mends is doctor's. */
export async function checkClusters(
  settings: Promise<TemporalSettings>,
  config: Config,
  clusters: readonly string[],
): Promise<ClusterCheckResult> {
  const remote = await temporalFindings(settings, config);
  const scope = scopeOf(config, clusters);
  const findings = remote.findings.filter((finding) => concerns(finding.check, scope));
  const figures: Figure[] = [];
  // Where Temporal does not answer, that is the finding.
  if (remote.findings.some(({ check: what, level }) => what === 'temporal' && level === 'problem'))
    return { findings, figures };
  const { freshness, pageFindings } = await import('../../domain/backup/freshness.js');
  const { previousRuns } = await import('../../config/schedule.js');
  const { drillFindings } = await import('./drill-findings.js');
  const session = await connectTemporal(await settings);
  try {
    for (const name of clusters) {
      const cluster = config.clusters[name];
      if (cluster === undefined || !remote.answeredHosts.includes(cluster.host)) continue;
      try {
        const { backups, pageErrors = [] } = await runInspection<'backups'>(session, {
          kind: 'backups',
          cluster: name,
        });
        const found = freshness(cluster, backups, previousRuns);
        findings.push(...found.findings, ...pageFindings(cluster, backups, pageErrors));
        figures.push(...found.figures);
      } catch (error) {
        findings.push(notInspected(`backup/${name}`, `the backups of ${name} cannot be listed`, error));
      }
      try {
        findings.push(
          ...walFindings(cluster, (await runInspection<'wal'>(session, { kind: 'wal', cluster: name })).windows),
        );
      } catch (error) {
        findings.push(notInspected(`wal/${name}`, `the recoverable range of ${name} cannot be determined`, error));
      }
      if (cluster.drill === undefined) continue;
      try {
        const found = await runInspection<'drills'>(session, { kind: 'drills', cluster: name });
        findings.push(...drillFindings(cluster, found, new Date()));
      } catch (error) {
        findings.push(notInspected(`drill/${name}`, `the drills of ${name} cannot be listed`, error));
      }
    }
  } finally {
    await session.close().catch(() => undefined);
  }
  return { findings, figures };
}

function notInspected(what: string, message: string, error: unknown): Finding {
  const { message: reason, hint } = toRepriseError(error);
  return { check: what, level: 'problem', message: `${message}: ${reason}`, fix: hint ?? 'reprise doctor' };
}

/** What is checked: these clusters, the hosts they are on, and the hosts they can be recovered on. */
interface Scope {
  readonly clusters: readonly string[];
  readonly hosts: readonly string[];
  readonly recoveryHosts: readonly string[];
  readonly repositories: readonly string[];
}

function scopeOf(config: Config, clusters: readonly string[]): Scope {
  const known = clusters.flatMap((name) => config.clusters[name] ?? []);
  return {
    clusters,
    hosts: known.map(({ host }) => host),
    repositories: known.flatMap(({ catalogue, policies }) => [
      catalogue,
      ...Object.values(policies).map(({ repository }) => repository),
    ]),
    recoveryHosts: known.flatMap(({ recovery }) => Object.values(recovery.targets).map(({ host }) => host)),
  };
}

const always = (): boolean => true;
const namesCluster = ([name = '']: readonly string[], { clusters }: Scope): boolean => clusters.includes(name);

const CHECKED_OF_CLUSTER: ReadonlySet<string> = new Set([
  ...['connection', 'archiving', 'catalogue', 'repository', 'databases', 'uncovered', 'prepared'],
  ...['frozen', 'left-hooks'],
]);

/** Which findings of doctor a check repeats, by the first part of their name; the rest of the name comes apart. */
const concern: Readonly<Record<string, (rest: readonly string[], scope: Scope) => boolean>> = {
  temporal: always,
  'search-attributes': always,
  schedules: always,
  worker: ([queue = ''], { hosts }) =>
    queue === CONTROL_QUEUE ||
    hosts.some((host) => queue === lightQueue(host) || queue.startsWith(`${lightQueue(host)}-`)),
  host: ([name = '', what = ''], { hosts, recoveryHosts }) =>
    what === 'config'
      ? [...hosts, ...recoveryHosts].includes(name)
      : hosts.includes(name) && ['clock', ''].includes(what),
  cluster: (rest, scope) => namesCluster(rest, scope) && CHECKED_OF_CLUSTER.has(rest[1] ?? ''),
  repository: ([name = '', what = ''], { repositories }) => repositories.includes(name) && what === 'identity',
  // `schedule/reprise/CLUSTER/POLICY`
  schedule: ([, ...rest], scope) => namesCluster(rest, scope),
  space: namesCluster,
  watch: namesCluster,
  archive: namesCluster,
};

export function concerns(check: string, scope: Scope): boolean {
  const [kind = '', ...rest] = check.split('/');
  return Object.hasOwn(concern, kind) && concern[kind]?.(rest, scope) === true;
}
