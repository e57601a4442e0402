import { parseSegmentName } from '../../../domain/target/wal.js';
import type { LiveServerFacts } from '../../../postgres/server/server-facts.js';
import type { WalArchive } from '../../../postgres/wal/wal-archive.js';
import { segmentBytesOf } from '../../../postgres/wal/contiguous-wal.js';
import { readTimelines } from '../../../postgres/wal/recoverable-range.js';
import type { Timeline } from '../../../postgres/wal/timelines.js';
import { followTimeline } from '../../../postgres/wal/timelines.js';
import type { ReadContext } from '../../engine.js';
import { readArchive } from './archive.js';
import type { WalgBackup } from '../backup-list.js';

/**
 * The backup on which a delta of the server as it is now would rest although the server does not come from it; null where
 * there is none. WAL-G takes the newest one as base and compares positions only: of a timeline that a recovery has left,
 * pages changed since with a lower position would be missing, and a restore would mix two histories.
 */
export async function strayBase(
  context: ReadContext,
  backups: readonly WalgBackup[],
  { timeline: id }: LiveServerFacts,
): Promise<WalgBackup | null> {
  const newest = backups.at(-1);
  if (newest === undefined || chainOf(backups, newest).every((backup) => timelineOf(backup) === id)) return null;
  const own = (await findTimeline(context, await readArchive(context), id)) ?? { id, history: [] };
  return chainOf(backups, newest).every((backup) => goesThrough(own, backup)) ? null : newest;
}

/** Of what a delta rests on, a backup that its own timeline does not come from; null where there is none, or none is known. */
export async function strayLink(
  context: ReadContext,
  backups: readonly WalgBackup[],
  delta: WalgBackup,
  archive: WalArchive,
): Promise<WalgBackup | null> {
  const id = timelineOf(delta);
  const chain = chainOf(backups, delta);
  if (chain.every((backup) => timelineOf(backup) === id)) return null;
  const own = await findTimeline(context, archive, id);
  return own === null ? null : (chain.find((backup) => !goesThrough(own, backup)) ?? null);
}

/** A backup with those it rests on. */
function chainOf(backups: readonly WalgBackup[], { label, dependsOn }: WalgBackup): readonly WalgBackup[] {
  return backups.filter((backup) => backup.label === label || dependsOn.includes(backup.label));
}

/** A timeline by its history, archived or still where the server is; null where neither has it. */
async function findTimeline({ cluster }: ReadContext, archive: WalArchive, id: number): Promise<Timeline | null> {
  const known = await readTimelines(
    { ...archive, timelines: archive.timelines.filter((one) => one === id) },
    cluster.dataDir ?? null,
  );
  return known.find((timeline) => timeline.id === id) ?? null;
}

/** Whether a timeline goes through the end of a backup: it is the backup's own, or has left that one later. */
function goesThrough(timeline: Timeline, backup: WalgBackup): boolean {
  return (
    followTimeline({ timeline: timelineOf(backup), stopLsn: backup.lsn.stop }, [timeline]).timeline.id === timeline.id
  );
}

function timelineOf(backup: WalgBackup): number {
  return parseSegmentName(backup.wal.start, segmentBytesOf(backup)).timeline;
}
