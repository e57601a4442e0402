import type { Irregular } from '../storage/storage.js';

/** What is done with one object to bring it to the wanted state. Never deletes a version. */
export type MediaAction = Change & {
  /** UTC ISO-8601 of the present version, a delete marker included; absent where there is none. */
  readonly presentSince?: string;
  /** The content is in an archive class and is not thawed. */
  readonly cold?: true;
  /** Left out: its name is not possible at the destination. */
  readonly unfit?: true;
  /** Left out: it cannot be copied, or cannot be copied over. */
  readonly irregular?: Irregular;
};

type Change =
  /** As wanted already: not touched. */
  | { readonly name: 'right'; readonly key: string; readonly sizeBytes: number }
  /** Deleted since: the delete markers above it are removed, newest first. */
  | {
      readonly name: 'undelete';
      readonly key: string;
      readonly sizeBytes: number;
      readonly markers: readonly string[];
      /** The version below them, which is copied on top of markers that may not be removed. */
      readonly below: CopiedVersion;
    }
  /** Copied over the present version, or where there is none. */
  | {
      readonly name: 'overwrite' | 'copy';
      readonly key: string;
      readonly sizeBytes: number;
      readonly source: CopiedVersion;
    }
  /** It did not exist then, or is not in the source: a delete marker hides it. */
  | { readonly name: 'remove'; readonly key: string; readonly sizeBytes: number }
  /** The same, kept by choice. */
  | { readonly name: 'keep'; readonly key: string; readonly sizeBytes: number };

/** Content that is copied; `versionId` is absent for the present version. */
export interface CopiedVersion {
  readonly versionId?: string;
  readonly etag: string;
}
