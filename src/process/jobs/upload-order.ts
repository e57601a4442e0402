/** What a worker and the uploader, a process of its own, say to one another. */
import type { RepositoryConfig } from '../../domain/config.js';
import type { ErrorCode } from '../../domain/errors.js';

/** Exit code of the uploader where the storage failed (`EX_TEMPFAIL`); else it is that of the program. */
export const STORAGE_FAILED = 75;

/** Given as a file that only the worker's user can read. */
export interface UploadOrder {
  readonly operationId: string;
  readonly repository: RepositoryConfig;
  readonly key: string;
  /** The program whose output is uploaded. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Variables of the worker's environment that the secrets of the repository refer to. */
  readonly variables: Readonly<Record<string, string>>;
}

/** A line the uploader prints, JSON; the last one is its outcome. */
export interface UploadLine {
  readonly bytes?: number;
  /** The storage does not answer and is tried again. */
  readonly waiting?: string;
  readonly written?: {
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly etag?: string;
    readonly parts?: number;
  };
  readonly failed?: { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
}
