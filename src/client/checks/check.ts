import type { Config } from '../../domain/config.js';
import type { Finding } from '../../domain/findings.js';
import { inspect } from '../inspect.js';
import { connectTemporal } from '../connect.js';
import type { TemporalSettings } from '../connect.js';
import { toRepriseError } from '../errors.js';
import { freshness } from './freshness.js';
import type { Figure } from './freshness.js';
import { temporalFindings } from './temporal-findings.js';
import { walFindings } from './wal-findings.js';

export interface ClusterCheckResult {
  readonly findings: readonly Finding[];
  readonly figures: readonly Figure[];
}

/** What can break from one hour to the next, of these clusters; what only a change of the config mends is doctor's. */
export async function check(
  settings: TemporalSettings,
  config: Config,
  clusters: readonly string[],
): Promise<ClusterCheckResult> {
  const looked = await temporalFindings(Promise.resolve(settings), config);
  const findings = looked.findings.filter(({ check: what }) => concerns(what, config, clusters));
  const figures: Figure[] = [];
  // Where nobody answers, that is the finding.
  if (looked.findings.some(({ check: what, level }) => what === 'temporal' && level === 'problem'))
    return { findings, figures };
  const session = await connectTemporal(settings);
  try {
    for (const name of clusters) {
      const cluster = config.clusters[name];
      if (cluster === undefined || !looked.answeredHosts.includes(cluster.host)) continue;
      try {
        const { backups } = await inspect<'backups'>(session, { kind: 'backups', cluster: name });
        const found = freshness(cluster, backups);
        findings.push(...found.findings);
        figures.push(...found.figures);
      } catch (error) {
        findings.push(unanswered(`backup/${name}`, `the backups of ${name} cannot be listed`, error));
      }
      try {
        findings.push(...walFindings(cluster, (await inspect<'wal'>(session, { kind: 'wal', cluster: name })).windows));
      } catch (error) {
        findings.push(unanswered(`wal/${name}`, `how far the WAL of ${name} leads cannot be told`, error));
      }
    }
  } finally {
    await session.close();
  }
  return { findings, figures };
}

function unanswered(what: string, message: string, error: unknown): Finding {
  const { message: reason, hint } = toRepriseError(error);
  return { check: what, level: 'problem', message: `${message}: ${reason}`, fix: hint ?? 'reprise doctor' };
}

const OF_CLUSTER = new Set(['connection', 'archiving', 'catalogue']);

/** Of all that doctor looks at: Temporal, the workers, the archive, room, clocks, schedules and watches. */
function concerns(what: string, config: Config, clusters: readonly string[]): boolean {
  const [kind = '', first = '', second = '', third = ''] = what.split('/');
  const hosts = clusters.map((name) => config.clusters[name]?.host ?? '');
  const targets = clusters.flatMap((name) =>
    Object.values(config.clusters[name]?.recovery.targets ?? {}).map(({ host }) => host),
  );
  if (['temporal', 'search-attributes', 'schedules'].includes(kind)) return true;
  if (kind === 'worker')
    return (
      first === 'reprise' || hosts.some((host) => first === `reprise-${host}` || first.startsWith(`reprise-${host}-`))
    );
  if (kind === 'host' && second === 'config') return [...hosts, ...targets].includes(first);
  if (kind === 'host') return hosts.includes(first) && ['clock', ''].includes(second);
  if (kind === 'cluster') return clusters.includes(first) && OF_CLUSTER.has(second);
  if (kind === 'schedule') return clusters.includes(second) || clusters.includes(third);
  return (kind === 'space' || kind === 'watch' || kind === 'archive') && clusters.includes(first);
}
