import type { ClusterConfig, Config, RetentionConfig } from '../domain/config.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { forecastSpace } from '../domain/storage/forecast.js';
import type { PolicyGrowth } from '../domain/storage/forecast.js';
import type { CatalogueRecord } from '../domain/backup/records.js';
import { durationInWords, sizeInWords } from '../domain/text/text.js';
import { freeBytes } from '../postgres/server/disk.js';
import { openCatalogueForReading } from '../records/catalogue.js';
import { underPresentNames } from '../records/present-names.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { openStorage } from '../storage/open-storage.js';
import { placeOf } from './places.js';
import { orphanFindings } from './left-behind.js';
import { localPathOf } from './repository.js';
import { pathExists } from '../files/paths.js';

const SOON_DAYS = 7;
const LATER_DAYS = 30;
const FAR_DAYS = 3650;

interface Filling extends PolicyGrowth {
  readonly path: string;
  readonly policy: string;
  readonly newestBytes: number;
}

/** When each place is full, by the catalogues of all clusters that put backups there; and how long recoveries took. */
export async function recordFindings(config: Config, clusters: readonly ClusterConfig[]): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const filling: Filling[] = [];
  for (const cluster of clusters) {
    const catalogue = await openForReading(config, cluster);
    if (catalogue === null) continue;
    for (const { key, reason, hint } of await catalogue.problems()) {
      findings.push(
        warning(
          `cluster/${cluster.name}/catalogue`,
          `record ${key} cannot be read: ${reason}`,
          hint ?? `restore ${key} in repository ${cluster.catalogue} from a copy of it`,
        ),
      );
    }
    findings.push(...recoveryTimes(cluster, await catalogue.records()));
    findings.push(...orphanFindings(cluster, (await catalogue.state()).backups));
    filling.push(...(await policyGrowth(config, cluster, await catalogue.records())));
  }
  for (const path of new Set(filling.map((one) => one.path)))
    findings.push(
      await spaceFinding(
        path,
        filling.filter((one) => one.path === path),
      ),
    );
  return findings;
}

/** Null where the repository is not there yet: opening it would make it. */
async function openForReading(config: Config, cluster: ClusterConfig) {
  const repository = config.repositories[cluster.catalogue];
  if (repository === undefined) return null;
  const path = localPathOf(repository);
  const isThere = path === null || (await pathExists(path));
  return isThere
    ? underPresentNames(
        openCatalogueForReading(openStorage(repository, { secret: resolveSecret, existing: true }), cluster.name),
        cluster,
      )
    : null;
}

async function policyGrowth(
  config: Config,
  cluster: ClusterConfig,
  records: readonly CatalogueRecord[],
): Promise<readonly Filling[]> {
  const found: Filling[] = [];
  for (const policy of Object.values(cluster.policies)) {
    const place = await placeOf(config, cluster, policy).catch(() => null);
    if (place?.path == null) continue;
    const made = new Map<string, number>();
    const events: { at: string; bytes: number }[] = [];
    for (const record of records) {
      if (record.kind === 'backup' && record.backup.policy === policy.name) {
        made.set(record.backup.id, record.backup.sizeBytes);
        events.push({ at: record.at, bytes: record.backup.sizeBytes });
      }
      const gone = record.kind === 'removed' ? made.get(record.backupId) : undefined;
      if (gone !== undefined) events.push({ at: record.at, bytes: -gone });
    }
    if (events.length > 0)
      found.push({
        path: place.path,
        policy: `${cluster.name}/${policy.name}`,
        events,
        keepDays: keepDays(policy.retention),
        newestBytes: [...made.values()].at(-1) ?? 0,
      });
  }
  return found;
}

function keepDays({ days, count, daily, weekly, monthly, yearly }: RetentionConfig): number | null {
  return [count, daily, weekly, monthly, yearly].some((rule) => rule !== undefined) ? null : (days ?? null);
}

async function spaceFinding(path: string, policies: readonly Filling[]): Promise<Finding> {
  const check = `space/${policies[0]?.policy ?? path}`;
  const free = await freeBytes(path);
  const next = policies.reduce((total, { newestBytes }) => total + newestBytes, 0);
  const fix = `free space in ${path}, or keep fewer backups: retention: { days: ... }; what rotation would remove: reprise rotate CLUSTER --dry-run`;
  const room = `${path} has ${sizeInWords(free)} free`;
  if (free < next) return problem(check, `${room}, and the next backups take about ${sizeInWords(next)}`, fix);
  const forecast = forecastSpace(policies, free, new Date());
  if (forecast === null) return ok(check, `${room}; backups are too recent to compute when it is full`);
  if (forecast.daysLeft === null)
    return ok(
      check,
      `${room}; backups do not fill it: ${forecast.bytesPerDay > 0 ? 'retention removes old ones before that' : 'rotation removes as much as is added'}`,
    );
  const days = Math.floor(forecast.daysLeft);
  const message = `${room}, and backups grow by ${sizeInWords(Math.round(forecast.bytesPerDay))} a day: ${days > FAR_DAYS ? 'not full within ten years' : `full in ${days} day${days === 1 ? '' : 's'}`}`;
  if (days < SOON_DAYS) return problem(check, message, fix);
  return days < LATER_DAYS ? warning(check, message, fix) : ok(check, message);
}

/** The last recovery against the promised time. */
function recoveryTimes(
  { name, objectives: { rtoSeconds } }: ClusterConfig,
  records: readonly CatalogueRecord[],
): readonly Finding[] {
  const last = records.findLast((record) => record.kind === 'outcome');
  if (rtoSeconds === undefined || last?.kind !== 'outcome') return [];
  const took = `the last recovery of ${name} (${last.at}) took ${durationInWords(last.outcome.rtoSeconds)}, approval wait excluded`;
  if (last.outcome.rtoSeconds <= rtoSeconds)
    return [ok(`cluster/${name}/rto`, `${took}: within the objective of ${durationInWords(rtoSeconds)}`)];
  return [
    warning(
      `cluster/${name}/rto`,
      `${took}: longer than the objective of ${durationInWords(rtoSeconds)}`,
      'see which phase took it (reprise incident report), or set an objective that can be met: objectives: { rto: ... }',
    ),
  ];
}
