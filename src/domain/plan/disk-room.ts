import { RepriseError } from '../errors.js';
import { sizeInWords } from '../text/text.js';
import type { ObservedLayout, ObservedPart } from './layout.js';
import type { PlanObservations, PlannedDisk } from './plan.js';
import { parentOf } from './recovery-place.js';
import type { ObservedDisk, RecoveryOutline } from './recovery-observations.js';
import type { OldDataFate } from './replacements.js';

type Needs = Pick<RecoveryOutline, 'sizeBytes' | 'neededBytes' | 'walBytes' | 'replayBytes'>;

/** Where a recovery writes to. */
export interface WrittenPlace {
  readonly disk: ObservedDisk | null;
  /** Of a recovery in place; absent: everything goes into one directory. */
  readonly layout?: ObservedLayout;
  readonly fate: OldDataFate;
  readonly dataDir: string | null;
}

/**
 * Bytes that the plan takes and that are free for it, on each disk that is written to. Old data that is emptied or
 * overwritten gives its own room.
 * @throws RepriseError `disk-full`; `path-refused` where old data cannot be copied to where it is to go
 */
export function roomFor(
  outline: Needs,
  { disk, layout, fate, dataDir }: WrittenPlace,
): Pick<PlanObservations, 'neededBytes' | 'freeBytes' | 'disks'> {
  if (disk === null) return { neededBytes: outline.neededBytes, freeBytes: null };
  const needed = outline.neededBytes + growthByReplay(outline, disk);
  const { here, disks } = layout ? split(needed, outline, layout, fate) : { here: needed, disks: [] };
  const room = roomOn(disk, here);
  if (room.freeBytes < room.neededBytes)
    throw full(parentOf(layout?.dataDir ?? dataDir ?? '/'), room.neededBytes, room.freeBytes);
  const small = disks.find(({ neededBytes, freeBytes }) => freeBytes < neededBytes);
  if (small !== undefined) throw full(small.path, small.neededBytes, small.freeBytes);
  return { ...room, ...(disks.length === 0 ? {} : { disks }) };
}

/** The database that is replaced shows how much bigger it was than its backup; WAL makes it grow by no more than its own size. */
function growthByReplay({ sizeBytes, replayBytes = 0 }: Needs, { presentBytes = 0 }: ObservedDisk): number {
  return Math.min(Math.max(0, presentBytes - sizeBytes), replayBytes);
}

/** Warns where replay may need more than there is, and nothing tells how much. */
export function growthWarnings(outline: Needs, { disk }: Pick<WrittenPlace, 'disk'>): readonly string[] {
  const { replayBytes = 0, neededBytes } = outline;
  if (disk === null || replayBytes === 0 || (disk.presentBytes ?? 0) >= outline.sizeBytes) return [];
  if (disk.freeBytes >= neededBytes + replayBytes) return [];
  return [
    `${sizeInWords(replayBytes)} of WAL are replayed, and the database may grow by as much: ${sizeInWords(disk.freeBytes)} are free, ${sizeInWords(neededBytes)} are needed without that`,
  ];
}

/** What goes to the disk of the data directory, and what to other disks. */
function split(
  needed: number,
  { walBytes = 0 }: Needs,
  { device, wal, tablespaces }: ObservedLayout,
  fate: OldDataFate,
): { readonly here: number; readonly disks: readonly PlannedDisk[] } {
  const parts: { part: ObservedPart; bytes: number; own: number }[] = [
    ...(wal === null ? [] : [{ part: wal, bytes: walBytes, own: fate === 'overwritten' ? wal.usedBytes : 0 }]),
    ...tablespaces
      .filter(({ isInside }) => !isInside)
      // Of the backup nothing says how large each one is: about as large as now.
      .map((part) => ({ part, bytes: part.usedBytes, own: fate === 'overwritten' ? part.usedBytes : 0 })),
  ].filter(({ part }) => part.device !== device);
  const byDevice = new Map<number, PlannedDisk>();
  for (const { part, bytes, own } of parts) {
    const before = byDevice.get(part.device) ?? { path: part.path, neededBytes: 0, freeBytes: part.freeBytes };
    byDevice.set(part.device, {
      ...before,
      neededBytes: before.neededBytes + bytes,
      freeBytes: before.freeBytes + own,
    });
  }
  const elsewhere = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  return { here: Math.max(0, needed - elsewhere), disks: [...byDevice.values()] };
}

function full(where: string, neededBytes: number, freeBytes: number): RepriseError {
  return new RepriseError(
    'disk-full',
    `the restore needs ${neededBytes} bytes and ${freeBytes} are free below ${where}`,
    'free space (reprise kept list shows old data), or recover to another place',
  );
}

function roomOn(
  { freeBytes, oldData, copyTo }: ObservedDisk,
  neededBytes: number,
): { neededBytes: number; freeBytes: number } {
  if (oldData === undefined) return { neededBytes, freeBytes };
  // The WAL of what is overwritten is saved before, beside it.
  if (copyTo === undefined)
    return { neededBytes: neededBytes + oldData.walBytes, freeBytes: freeBytes + oldData.usedBytes };
  if (!copyTo.writable) {
    throw new RepriseError(
      'path-refused',
      `old data cannot be copied to ${copyTo.path}: it is not a directory that ${copyTo.user ?? 'this worker'} may write in`,
      'create it, or mount the file system, and make it belong to that user (mode 0700)',
    );
  }
  if (copyTo.freeBytes < oldData.usedBytes) {
    throw new RepriseError(
      'disk-full',
      `the old data takes ${sizeInWords(oldData.usedBytes)}, and ${sizeInWords(copyTo.freeBytes)} are free in ${copyTo.path}, where it is copied to`,
      'free space there, or name another path under recovery: old_data',
    );
  }
  return { neededBytes, freeBytes: copyTo.sameFileSystem ? freeBytes : freeBytes + oldData.usedBytes };
}
