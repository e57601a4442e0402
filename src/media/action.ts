import type { MediaActionName } from '../domain/media/media.js';
import type { Irregular } from '../storage/storage.js';

/** What is done with one object, so that it is as it shall be. Deletes no version, ever. */
export type MediaAction = Deed & {
  /** UTC ISO-8601 of what is there now, a delete marker included; absent where nothing is. */
  readonly presentSince?: string;
  /** What comes back lies in an archive class, and is not thawed. */
  readonly cold?: true;
  /** Left out: its name cannot be one where it should go. */
  readonly unfit?: true;
  /** Left out: it cannot be copied, or cannot be copied over. */
  readonly irregular?: Irregular;
};

type Deed =
  /** As it shall be already: not touched. */
  | { readonly name: 'right'; readonly key: string; readonly sizeBytes: number }
  /** Deleted since: the delete markers above it are taken away, newest first. */
  | { readonly name: 'undelete'; readonly key: string; readonly sizeBytes: number; readonly markers: readonly string[] }
  /** Copied on top of what is there, or where nothing is. */
  | {
      readonly name: 'overwrite' | 'copy';
      readonly key: string;
      readonly sizeBytes: number;
      readonly source: CopiedVersion;
    }
  /** Not there at that time, or not in the source: a delete marker hides it. */
  | { readonly name: 'remove'; readonly key: string; readonly sizeBytes: number }
  /** The same, kept by choice. */
  | { readonly name: 'keep'; readonly key: string; readonly sizeBytes: number };

/** Content that is copied; `versionId` is absent for what is there now. */
export interface CopiedVersion {
  readonly versionId?: string;
  readonly etag: string;
}

export type { MediaActionName };
