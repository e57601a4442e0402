import type { RecoveryTarget } from '../target/target.js';

const words = {
  undelete: 'to undelete',
  overwrite: 'to overwrite with the older version',
  copy: 'to copy where no object exists',
} as const;

/** What is changed of media that come back with a database; what came later stays. */
export type PlannedMediaChange = keyof typeof words;
const plannedMediaChanges = Object.keys(words) as readonly PlannedMediaChange[];

/** Media that a recovery sets back in place to the instant it recovers to: part of what is approved. */
export interface PlannedMedia {
  /** Name under `media` in the config. */
  readonly name: string;
  /** UTC ISO-8601. */
  readonly instant: string;
  readonly counts: Readonly<Record<PlannedMediaChange, { readonly objects: number; readonly bytes: number }>>;
  /** Of the whole plan of the media, by which every single change is bound (SHA-256, hex). */
  readonly digest: string;
}

/** Targets whose instant does not depend on when the recovery is done: only to such a one can media go. */
export function hasInstant({ kind }: RecoveryTarget): boolean {
  return kind !== 'latest';
}

/** `1 to undelete, 2 to overwrite with the older version`; sizes in the words of the caller. */
export function plannedMediaInWords({ counts }: PlannedMedia, size: (bytes: number) => string): string {
  const changes = plannedMediaChanges
    .filter((name) => counts[name].objects > 0)
    .map((name) => `${counts[name].objects} ${words[name]} (${size(counts[name].bytes)})`);
  return changes.length === 0 ? 'nothing to change' : changes.join(', ');
}
