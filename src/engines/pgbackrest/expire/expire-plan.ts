import { RepriseError } from '../../../domain/errors.js';
import { labelDifference } from '../../shared/removal.js';
import type { StanzaBackup } from '../info.js';

type Known = Pick<StanzaBackup, 'label' | 'type' | 'dependsOn' | 'startedAt' | 'wal' | 'database'>;

/** One `pgbackrest expire --set`. */
export interface ExpireStep {
  readonly label: string;
  /** Full backups that are left after it: so many keep their WAL from their start on. */
  readonly fullsLeft: number;
}

/** A backup goes with all that rests on it: without it they cannot be restored. Newest first. */
export function withDependants(backups: readonly Known[], labels: readonly string[]): string[] {
  const asked = new Set(labels);
  return backups
    .filter(({ label, dependsOn }) => asked.has(label) || dependsOn.some((base) => asked.has(base)))
    .map(({ label }) => label)
    .sort()
    .reverse();
}

/**
 * The order in which backups go: newest first, so that dependants go before their base and an interruption leaves
 * only usable ones (habit of pgBackRest's expire).
 * @throws RepriseError `rotation-refused` where no full backup would be left
 */
export function expireSteps(backups: readonly Known[], labels: readonly string[]): ExpireStep[] {
  const going = withDependants(backups, labels);
  let fullsLeft = backups.filter(({ type }) => type === 'full').length;
  const steps = going.map((label) => {
    if (backups.find((backup) => backup.label === label)?.type === 'full') fullsLeft -= 1;
    return { label, fullsLeft };
  });
  if (going.length > 0 && fullsLeft === 0) {
    throw new RepriseError(
      'rotation-refused',
      'no full backup would remain in the stanza',
      'take a new full backup first: reprise backup run CLUSTER --type full',
    );
  }
  return steps;
}

/**
 * First segment that has to stay of one archive once these backups are gone: the start of the oldest full that stays.
 * Null where nothing of that archive is needed any more.
 */
export function walKeptFrom(backups: readonly Known[], going: readonly string[], archiveId: string): string | null {
  const staying = backups.filter(({ label, database }) => database.archiveId === archiveId && !going.includes(label));
  const starts = staying.flatMap(({ wal }) => (wal === null ? [] : [wal.start]));
  // By name, as pgBackRest does: a later timeline has the greater name.
  return starts.sort()[0] ?? null;
}

/** What a dry run of `expire` says it would remove. */
export interface DryRun {
  readonly labels: readonly string[];
  readonly wal: readonly { readonly archiveId: string; readonly stop: string | null }[];
}

export function parseDryRun(log: string): DryRun {
  const labels = [...log.matchAll(/remove expired backup (\S+)/g)].map((match) => match[1] ?? '');
  const ranges = [...log.matchAll(/: (\S+) remove archive, start = \S+, stop = ([0-9A-F]+)/g)].map((match) => ({
    archiveId: match[1] ?? '',
    stop: match[2] ?? '',
  }));
  const paths = [...log.matchAll(/remove archive path \S*\/(\S+)/g)].map((match) => ({
    archiveId: match[1] ?? '',
    stop: null,
  }));
  return { labels, wal: [...ranges, ...paths] };
}

/** Why a dry run does not remove what was planned, in one sentence; undefined where it does. */
export function differenceOf(
  dryRun: DryRun,
  planned: readonly string[],
  known: readonly string[],
  keptFrom: (archiveId: string) => string | null,
): string | undefined {
  const difference = labelDifference(dryRun.labels, planned, known);
  if (difference !== undefined) return difference;
  for (const { archiveId, stop } of dryRun.wal) {
    const kept = keptFrom(archiveId);
    // pgBackRest names a whole directory by its 16 digits.
    if (kept !== null && (stop === null || stop >= kept.slice(0, stop.length))) {
      return `it would remove WAL of ${archiveId} up to ${stop ?? 'its end'}, needed from ${kept} on`;
    }
  }
  return undefined;
}
