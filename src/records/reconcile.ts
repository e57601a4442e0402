import { backupId, type Backup, type ListedBackup } from '../domain/backup/backup.js';
import type { CatalogueState } from '../domain/backup/catalogue.js';

/** What an engine found on the storage of one policy. */
export interface PolicyListing {
  readonly cluster: string;
  readonly policy: string;
  readonly engine: string;
  readonly repository: string;
  readonly listed: readonly ListedBackup[];
}

/**
 * Backups as catalogue and engines agree on them, oldest first. The engine's own list decides what exists; the
 * catalogue what is verified and held. Recorded and not listed → `missing`. Listed and not recorded →
 * `complete` and not verified, because its origin is unknown. A part of a database → `partial`. Damaged, or another content than was
 * recorded, or of unknown origin and dated after `now` → `quarantined`. A policy that was not listed stays as it is recorded.
 */
export function reconcile(
  state: Pick<CatalogueState, 'backups'> & Partial<Pick<CatalogueState, 'holds' | 'quarantined'>>,
  listings: readonly PolicyListing[],
  now?: Date,
): Backup[] {
  const listingOf = new Map(listings.map((listing) => [placeOf(listing), listing]));
  const recorded = new Map<string, Map<string, Backup>>();
  const backups: Backup[] = [];
  for (const backup of state.backups) {
    const place = placeOf(backup);
    if (!listingOf.has(place)) backups.push(backup);
    const ofPlace = recorded.get(place);
    if (ofPlace) ofPlace.set(backup.label, backup);
    else recorded.set(place, new Map([[backup.label, backup]]));
  }
  for (const [place, listing] of listingOf) {
    const unseen = new Map(recorded.get(place));
    for (const found of listing.listed) {
      const known = unseen.get(found.label);
      unseen.delete(found.label);
      backups.push(known === undefined ? unknownOrigin(listing, found, state, now) : confirmed(known, found));
    }
    for (const lost of unseen.values()) backups.push({ ...lost, status: 'missing', proven: null });
  }
  return backups.sort((left, right) =>
    left.startedAt !== right.startedAt ? (left.startedAt < right.startedAt ? -1 : 1) : left.id < right.id ? -1 : 1,
  );
}

function placeOf({ cluster, policy, engine, repository }: Omit<PolicyListing, 'listed'>): string {
  return JSON.stringify([cluster, policy, engine, repository]);
}

function confirmed(known: Backup, found: ListedBackup): Backup {
  const replaced = differ(known.sha256, found.sha256) || differ(known.manifestSha256, found.manifestSha256);
  if (found.damaged !== undefined || replaced) return { ...known, status: 'quarantined', proven: null };
  const { partial } = found;
  if (partial !== undefined && known.status === 'complete')
    return { ...known, partial, status: 'partial', proven: null };
  return found.cold === true && known.partial === undefined ? { ...known, status: 'cold' } : known;
}

const differ = (recorded: string | undefined, found: string | undefined): boolean =>
  recorded !== undefined && found !== undefined && recorded !== found;

function unknownOrigin(
  { cluster, policy, engine, repository }: PolicyListing,
  found: ListedBackup,
  { holds, quarantined }: Partial<Pick<CatalogueState, 'holds' | 'quarantined'>>,
  now: Date | undefined,
): Backup {
  const { damaged, cold: _cold, ...facts } = found;
  const id = backupId(cluster, engine, found.label);
  return {
    ...facts,
    id,
    cluster,
    policy,
    engine,
    repository,
    proven: null,
    // Its own record may be lost or frozen, and somebody's hold on it still counts.
    heldUntil: holds?.get(id) ?? null,
    status:
      damaged !== undefined || quarantined?.has(id) === true || isMisdated(found, now)
        ? 'quarantined'
        : soundStatus(found),
  };
}

/** Clocks of two hosts differ by less. */
const CLOCKS_MS = 86_400_000;

/** It would be the newest one for as long as it lies there. */
function isMisdated({ startedAt }: ListedBackup, now: Date | undefined): boolean {
  return now !== undefined && Date.parse(startedAt) > now.getTime() + CLOCKS_MS;
}

function soundStatus({ partial, cold, finishedAt }: ListedBackup): Backup['status'] {
  if (partial !== undefined) return 'partial';
  if (cold === true) return 'cold';
  return finishedAt === null ? 'running' : 'complete';
}
