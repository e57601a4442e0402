/** A recovery in place keeps the layout of its data directory, or is refused before anything stops. */
import { RepriseError } from '../errors.js';
import type { ObservedLayout, ObservedPart, ObservedTablespace, PlannedLayout } from './layout.js';
import { asideWithin, oldDataDirectory, parentOf, tablespaceDir } from './recovery-place.js';
import type { RecoveryPlace } from './recovery-place.js';
import type { RecoveryObservations, RecoveryOutline } from './recovery-observations.js';
import type { OldDataFate } from './replacements.js';

/** Parts of the cluster's own, which stay in their places. Those of a copy may be production's: they are left alone. */
function ownTablespaces({ inPlace }: RecoveryPlace, seen: ObservedLayout): readonly ObservedTablespace[] {
  return inPlace ? seen.tablespaces.filter(({ isInside }) => !isInside) : [];
}

export function plannedLayout(
  place: RecoveryPlace,
  seen: ObservedLayout,
  { fate, ofBackup, operationId }: { fate: OldDataFate; ofBackup: readonly string[]; operationId: string },
): PlannedLayout | undefined {
  const isLost = fate === 'overwritten';
  const aside = (path: string): string | null => (isLost ? null : asideWithin(path, operationId));
  const own = ownTablespaces(place, seen);
  const staying = own.map(({ oid, path }) => ({ oid, path, keptAs: aside(path), restored: ofBackup.includes(oid) }));
  const elsewhere = ofBackup
    .filter((oid) => !own.some((one) => one.oid === oid))
    .map((oid) => ({ oid, path: `${tablespaceDir(seen.dataDir, operationId)}/${oid}`, restored: true }));
  const tablespaces = [...staying, ...elsewhere];
  const wal = place.inPlace ? seen.wal : null;
  if (!seen.isLink && wal === null && tablespaces.length === 0) return undefined;
  return {
    ...(seen.isLink ? { dataDir: seen.dataDir } : {}),
    // Not inside: pgBackRest would back it up with the WAL directory.
    ...(wal && { wal: { path: wal.path, keptAs: isLost ? null : oldDataDirectory(wal.path, operationId) } }),
    ...(tablespaces.length === 0 ? {} : { tablespaces }),
  };
}

/** Where parts of the old data are, beside its directory: they are kept with it, and dropped with it. */
export function partsOfOldData(
  place: RecoveryPlace,
  seen: ObservedLayout,
  planned: PlannedLayout | undefined,
): readonly string[] {
  if (!place.inPlace) {
    // A copy has its tablespaces in a directory that its recovery made for it.
    const own = seen.tablespaces
      .map(({ path }) => parentOf(path))
      .filter((path) => isOwnTablespaces(path, seen.dataDir));
    return [...new Set(own)];
  }
  return [planned?.wal, ...(planned?.tablespaces ?? [])].flatMap((part) => part?.keptAs ?? []);
}

const isOwnTablespaces = (path: string, dataDir: string): boolean =>
  path.startsWith(`${dataDir}.tablespaces-`) && !path.slice(dataDir.length + 1).includes('/');

/**
 * Refuses a layout that could not be kept.
 * @throws RepriseError `path-refused`
 */
export function refuseUnfitLayout(place: RecoveryPlace, seen: ObservedLayout, fate: OldDataFate): void {
  const { dataDir } = place;
  const { dataDir: home, isMountPoint, mountsBelow, parent } = seen;
  if (parent !== 'usable')
    throw new RepriseError(
      'path-refused',
      parent === 'missing'
        ? `there is no directory ${parentOf(home)} to restore into`
        : `this worker may not write in ${parentOf(home)}, where old data and saved WAL are kept`,
      parent === 'missing'
        ? 'mount the file system that it is on, or create it, owned by the user of the data directory'
        : 'give its user the right to write there, or run the worker as root',
    );
  if (fate === 'renamed' && isMountPoint)
    throw new RepriseError(
      'path-refused',
      `${dataDir} is a mount point, which cannot be renamed`,
      'set recovery: old_data: { mode: aside-on, path: ... } to have it copied, or keep the data in a directory below the mount point',
    );
  const [mount] = mountsBelow;
  if ((fate === 'renamed' || fate === 'copied') && mount !== undefined)
    throw new RepriseError(
      'path-refused',
      `a file system is mounted on ${mount}, below the data directory: it would go with the old data`,
      'mount it elsewhere, and put a symbolic link in its place while the server is stopped; or recover beside with --into NAME',
    );
  if (!place.inPlace) return;
  if (seen.wal !== null) {
    refuseUnfitPart('pg_wal', seen.wal);
    if (fate !== 'overwritten' && !seen.wal.hasRoomBeside) throw noRoomBeside(seen.wal.path);
  }
  for (const one of ownTablespaces(place, seen)) refuseUnfitPart(`tablespace ${one.oid}`, one);
}

function noRoomBeside(path: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `pg_wal leads to ${path}, and the old WAL cannot be kept beside it: that is a mount point, or this worker may not write in ${parentOf(path)}`,
    'while the server is stopped, move the WAL to a directory below the mount point, in one that its user may write in, and correct the link; or recover beside with --into NAME',
  );
}

function refuseUnfitPart(what: string, { path, state, isInside }: ObservedPart): void {
  if (isInside)
    throw new RepriseError(
      'path-refused',
      `${what} is a symbolic link to ${path}, inside the data directory`,
      'put it outside of the data directory, or make it a plain directory, while the server is stopped',
    );
  if (state === 'usable') return;
  throw new RepriseError(
    'path-refused',
    state === 'missing'
      ? `${what} leads to ${path}, which is not there`
      : `${what} leads to ${path}, where this worker or the server's user may not write`,
    'mount the file system that it is on; if that is lost, create the directory there, owned by the user of the data directory',
  );
}

/**
 * Refuses a copy on the cluster's own host that would replay the creation of a tablespace: PostgreSQL makes it again at
 * the same path, which is the living cluster's.
 * @throws RepriseError `path-refused`
 */
export function refuseLiveTablespaces(
  live: RecoveryObservations['liveTablespaces'],
  { tablespaces, replayBytes, backups }: RecoveryOutline,
): void {
  if (tablespaces === undefined || replayBytes === 0) return;
  const made = live?.find(({ oid }) => !tablespaces.includes(oid));
  if (made === undefined) return;
  throw new RepriseError(
    'path-refused',
    `tablespace ${made.oid} in ${made.path} was created after backup ${backups[0]?.label ?? ''}: replaying that would write into the living cluster's files`,
    'take a new backup and recover from it, or recover in place, to the end of a backup (--to backup:ID), or onto another host; a time before it was created is refused too, because a copy can be sent on to a later one (reprise retarget)',
  );
}

/** What a person should know of the layout, beside what the plan shows. */
export function layoutWarnings(place: RecoveryPlace, seen: ObservedLayout): readonly string[] {
  if (!place.inPlace) return [];
  const parts = [...(seen.wal === null ? [] : [{ ...seen.wal, oid: '' }]), ...seen.tablespaces];
  const links = seen.otherLinks.slice(0, 5).join(', ');
  return [
    ...parts
      .filter(({ isEmpty }) => isEmpty)
      .map(
        ({ oid, path }) =>
          `${path}, where ${oid === '' ? 'the WAL' : `tablespace ${oid}`} was, is empty: make sure that its file system is mounted`,
      ),
    ...(links === '' ? [] : [`symbolic links in the data directory are not restored as links: ${links}`]),
  ];
}
