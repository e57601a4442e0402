import type { Readable } from 'node:stream';
import type { LostTrait } from '../domain/media/media.js';
import type { ThawTier } from '../domain/storage/storage-classes.js';
import type { AppliedSetting, StorageSurvey } from '../domain/storage/storage-plan.js';
import type { StoredVolume } from '../domain/storage/storage-usage.js';

/** What a storage can and cannot do, each a fact that callers use instead of the storage's name. */
export interface StorageCapabilities {
  /** Files are on a path that tools of the owning host can write directly. */
  readonly localPath: boolean;
  /** Old versions survive overwriting and deletion. */
  readonly versioned: boolean;
  /** Objects may be in a class that must be thawed before reading. */
  readonly coldClasses: boolean;
}

export interface StoredObject {
  /** Path below the repository's root, `/`-separated, never absolute and never with `..`. */
  readonly key: string;
  readonly sizeBytes: number;
  /** UTC ISO-8601. */
  readonly modifiedAt: string;
  /** UTC ISO-8601: an object lock keeps what it holds until then, whoever removes it; known from `stat` only. */
  readonly lockedUntil?: string;
  /** It is in a class that has to be thawed before it can be read; a thawed one does so too. */
  readonly cold?: true;
}

/** What is in a directory and is no object: it is neither read nor followed. */
export type Irregular = 'symbolic link' | 'hard link' | 'special file' | 'undecodable name';

/** An object, or an entry that a listing leaves out, reported so that it is not taken for absent; a folder's key then ends in a slash. */
export interface StorageEntry extends StoredObject {
  readonly irregular?: Irregular;
}

/** An object that cannot be read before it is thawed. */
export interface ColdObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly storageClass: string;
  /** Its thaw was requested and is in progress. */
  readonly thawing: boolean;
}

/** What a server keeps with an object besides its content, as a request that makes an object takes it. */
export interface ObjectDescription {
  readonly CacheControl?: string | undefined;
  readonly ContentDisposition?: string | undefined;
  readonly ContentEncoding?: string | undefined;
  readonly ContentLanguage?: string | undefined;
  readonly ContentType?: string | undefined;
  readonly Metadata?: Record<string, string> | undefined;
  readonly Expires?: Date | undefined;
  readonly WebsiteRedirectLocation?: string | undefined;
  /** As a query string. */
  readonly Tagging?: string | undefined;
  /** Whether a copy on the server takes the tags of its source. */
  readonly TaggingDirective?: 'COPY' | 'REPLACE' | undefined;
  readonly StorageClass?:
    'REDUCED_REDUNDANCY' | 'STANDARD_IA' | 'ONEZONE_IA' | 'INTELLIGENT_TIERING' | 'GLACIER_IR' | undefined;
  readonly ACL?: 'public-read' | 'public-read-write' | 'authenticated-read' | undefined;
  readonly GrantFullControl?: string | undefined;
  readonly GrantRead?: string | undefined;
  readonly GrantReadACP?: string | undefined;
  readonly GrantWriteACP?: string | undefined;
  readonly ServerSideEncryption?: 'aws:kms' | 'aws:kms:dsse' | undefined;
  readonly SSEKMSKeyId?: string | undefined;
  readonly BucketKeyEnabled?: boolean | undefined;
}

/** What a file of a directory has besides its content. */
export interface FileTraits {
  /** Permissions alone. */
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** UTC ISO-8601. */
  readonly modifiedAt: string;
}

export interface WriteStreamOptions {
  /** Kept with the object where the storage can. */
  readonly described?: ObjectDescription;
  /** What it is a copy of, as in {@link ObjectCopy}; kept where the storage can. */
  readonly mark?: string;
  /**
   * In a directory, a file that others shall be able to read as before: what it is a copy of, or null for what it replaces
   * and for what its folder lets everybody do. Absent: for its owner only.
   */
  readonly file?: FileTraits | null;
  /** Told of each part of the description that the server or the key's rights refused. */
  readonly leftOut?: (trait: LostTrait) => void;
  readonly signal?: AbortSignal;
  /** Told now and then how many bytes are written, and of a storage that does not answer and is tried again. */
  readonly report?: (bytes: number, waiting?: string) => void;
}

export interface WrittenObject {
  readonly sizeBytes: number;
  /** Hex, of what was written. */
  readonly sha256: string;
  /** Of an object of S3. */
  readonly etag?: string;
  /** Parts it was uploaded in; 1 for one that came in a single request. */
  readonly parts?: number;
}

/**
 * Reading side. A dry run gets only this type, so that it cannot change anything by construction
 * (habit of pgBackRest `src/storage/helper.c`).
 */
export interface ReadableStorage {
  readonly kind: string;
  readonly capabilities: StorageCapabilities;
  /** Whole small object (records); `not-found` where there is none. */
  read(key: string): Promise<Buffer>;
  /** The bytes from an offset on (default: all). */
  open(key: string, fromByte?: number): Promise<Readable>;
  stat(key: string): Promise<StoredObject | null>;
  /**
   * All objects below a folder (`''` = all; the slash at its end may be left out, and `a` never finds `ab/c`), in the
   * byte order of their keys, streamed so that a million fit. A folder that does not exist is empty.
   */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** Names of the folders at the top, without a listing of what is in them; absent where `localPath` shows them. */
  topFolders?(): Promise<readonly string[]>;
  /** The same with what `list` passes over; absent where there are objects only. */
  entries?(prefix: string): AsyncIterable<StorageEntry>;
  /** Absolute path where `capabilities.localPath`; throws `capability-missing` elsewhere. Refuses what leaves the root. */
  localPath(key: string): string;
  /** Those of the objects that cannot be read now; absent where every object can. */
  coldObjects?(keys: readonly string[]): Promise<readonly ColdObject[]>;
  /** How objects are thawed where nobody says otherwise. */
  readonly thaw?: { readonly tier: ThawTier; readonly days: number };
  /** Everything that takes room, old versions and what is left of uploads included; absent where `list` gives all there is. */
  volumes?(signal?: AbortSignal): AsyncIterable<StoredVolume>;
  /** Free bytes where the storage can know them. */
  freeBytes(): Promise<number | null>;
}

/** A storage whose own settings (versions, lifecycle, locks...) can be inspected and set. */
export interface StorageAdmin {
  /** What the settings are, and what the config wants. What it writes to try the server, it removes. */
  survey(signal?: AbortSignal): Promise<StorageSurvey>;
  /** Makes the settings of these names as the config wants them; one that the server refuses stops no other. */
  apply(names: readonly string[], signal?: AbortSignal): Promise<readonly AppliedSetting[]>;
}

export interface WritableStorage extends ReadableStorage {
  /** Objects under other people's names, with their versions; absent where a storage has none. A plan gets their reading side only. */
  readonly objects?: WritableObjects;
  /** Absent where there is nothing to set. */
  readonly admin?: StorageAdmin;
  /** What a file has besides its content; null where there is none. Absent where there are no files. */
  fileTraits?(key: string): Promise<FileTraits | null>;
  /**
   * Writes a small object only where there is none yet: true when this call made it. Atomic and durable (fsync). `keep`: it is never
   * changed, so that it is protected as the storage can: by an object lock where the configuration has one, or read-only. Where a server
   * refuses that, it is written all the same; `stat` says until when it is locked.
   */
  createIfAbsent(key: string, body: Buffer | string, options?: { readonly keep?: boolean }): Promise<boolean>;
  /** Atomically replaces a small object. */
  write(key: string, body: Buffer | string): Promise<void>;
  /**
   * Writes an object of any size, hashed on the way; nobody sees it before it is whole, and one of that key is replaced.
   * Cut off (`signal`, a failure of either side), it leaves nothing that is listed.
   */
  writeStream(key: string, body: Readable, options?: WriteStreamOptions): Promise<WrittenObject>;
  /** Requests readable copies of cold objects for a number of days; it can be repeated. Returns before they are readable. */
  requestThaw?(keys: readonly string[], tier: ThawTier, days: number): Promise<void>;
  /** Removes one object, never a folder; what is not there is no error. */
  remove(key: string): Promise<void>;
  /**
   * Takes away what a `writeStream` of this key left that was killed. Nobody may be writing it; what is whole stays.
   * A directory's leftovers, which have names of their own, go with age.
   */
  abandon(key: string): Promise<void>;
  /**
   * Makes a finished file (or directory) from an incomplete one, atomically, within the repository; `conflict` instead of
   * overwriting. Repeated after success (the first key gone, the second there) it does nothing.
   */
  publish(fromKey: string, toKey: string): Promise<void>;
  /** Directory for incomplete files, owner-only, created where missing and given to `owner` when running as root. */
  prepare(prefix: string, owner?: { uid: number; gid: number }): Promise<void>;
}

/** An object of a listing; `key` may be any name, so no path is ever made of it. */
export interface ObjectFacts {
  /** Below the folder that was listed. */
  readonly key: string;
  readonly sizeBytes: number;
  /** UTC ISO-8601; of some servers to the second only. */
  readonly modifiedAt: string;
  /** Without its quotes. Equal ones of equal size are equal content; different ones say nothing where one holds a dash. */
  readonly etag: string;
  /** It is in a class that has to be thawed before it can be read or copied, and is not thawed. */
  readonly cold?: true;
}

/** One version of an object, or the mark that it was deleted. */
export interface ObjectVersion extends ObjectFacts {
  readonly versionId: string;
  readonly latest: boolean;
  /** A delete marker: no content. */
  readonly deleted: boolean;
}

/** Where a server keeps objects: two of the same `server` can copy without the bytes passing here. */
export interface ObjectPlace {
  readonly server: string;
  readonly bucket: string;
  /** Whole key in the bucket of a key below this repository. */
  readonly keyOf: (key: string) => string;
}

/** Objects whose names were given by somebody else, and what the server remembers of them. Keys are below the repository. */
export interface ReadableObjects {
  readonly place: ObjectPlace;
  versioning(): Promise<'enabled' | 'suspended' | 'off'>;
  /**
   * Whether old versions keep the time at which they were written, without which an instant cannot be found. Tried for real
   * with an object of its own, of which nothing is left.
   */
  versionTimes(): Promise<{
    readonly times: 'written' | 'superseded' | 'unversioned' | 'unknown';
    readonly detail: string;
  }>;
  /** Days after which the bucket removes what was overwritten or deleted; null where it does not, or does not tell. */
  oldVersionDays(folder: string): Promise<number | null>;
  /** Objects below a folder in the byte order of their keys, after a key of the same listing where one is given. */
  list(folder: string, after?: string): AsyncIterable<ObjectFacts>;
  /** All versions and delete markers, by key in byte order and then newest first. */
  versions(folder: string, after?: string): AsyncIterable<ObjectVersion>;
  /** `md5` (hex) where the server gives that of the whole content. */
  open(key: string, versionId?: string): Promise<{ readonly body: Readable; readonly md5: string | null }>;
  /** All that describes an object, and what of it a copy cannot have; `elsewhere`: on another server. */
  describe(
    key: string,
    versionId: string | undefined,
    how: { readonly elsewhere: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly described: ObjectDescription; readonly lost: readonly LostTrait[] }>;
  /** Rights that the key lacks below a folder, of those that reading or writing with all that describes an object needs; changes nothing. */
  missingRights(folder: string, side: 'reading' | 'writing'): Promise<readonly string[]>;
  /** What the present object was copied from, by the `mark` it was written with; null where it was not. */
  copiedFrom(key: string): Promise<string | null>;
}

export interface ObjectCopy {
  readonly from: ObjectPlace;
  readonly key: string;
  readonly versionId?: string;
  readonly sizeBytes: number;
  /** Kept with the copy where its etag will not say that it is one: what it was copied from. */
  readonly mark?: string;
}

export interface WritableObjects extends ReadableObjects {
  /** Copies on the server, whatever the size, with all that describes the object; what was there before stays as a version where versions are kept. */
  copyFrom(
    source: ObjectCopy,
    toKey: string,
    options?: {
      readonly singleCopyBytes?: number;
      readonly signal?: AbortSignal;
      /** Told of each part of the description that the server or the key's rights refused. */
      readonly leftOut?: (trait: LostTrait) => void;
    },
  ): Promise<void>;
  /** Takes a delete marker away, so that the version below it is there again; never a version of content. */
  removeMarker(key: string, versionId: string): Promise<void>;
  /** Removes the present object: by a delete marker where versions are kept. */
  remove(key: string): Promise<void>;
}
