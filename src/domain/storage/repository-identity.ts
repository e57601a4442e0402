import type { DescribedStorage } from '../config.js';
import { RepriseError } from '../errors.js';

/**
 * Name of the file at the root of a repository that says which repository it is. It is made once; a directory without it
 * is not the repository, but for example the empty mount point of its disk.
 */
export const IDENTITY_FILE = 'reprise-repository.json';

export interface RepositoryIdentity {
  /** A UUID. */
  readonly id: string;
  /** UTC ISO-8601. */
  readonly madeAt: string;
}

export function identityText({ id, madeAt }: RepositoryIdentity): string {
  const about = 'identity of this repository: leave this file here; see docs/storage.md of Reprise';
  return `${JSON.stringify({ id, madeAt, about })}\n`;
}

/** The id in such a file; null for what is none. */
export function readIdentity(text: string): string | null {
  try {
    const { id } = JSON.parse(text) as { readonly id?: unknown };
    return typeof id === 'string' && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : null;
  } catch {
    return null;
  }
}

/** What was found where a known repository should be. */
export type FoundInstead = 'nothing' | 'no marker' | 'another' | 'damaged';

const found: Readonly<Record<FoundInstead, string>> = {
  nothing: 'there is no such directory',
  'no marker': `the file ${IDENTITY_FILE} is not there`,
  another: `${IDENTITY_FILE} is that of another repository`,
  damaged: `${IDENTITY_FILE} is damaged`,
};

/** @param name as people call it: `repository local` */
export function notTheRepository(
  { name, where, accept }: { readonly name: string; readonly where: string; readonly accept: string },
  instead: FoundInstead,
): RepriseError {
  return new RepriseError(
    'repository-mismatch',
    `${where} is not the ${name} that is known: ${found[instead]}`,
    `mount its file system, or correct its path; if it was moved or made new on purpose: ${accept}`,
  );
}

/** Under which a host knows where an engine's own tool keeps the files of a policy. */
export const toolRepository = (cluster: string, policy: string): string => `${cluster}/${policy}`;

/** The command that takes what is at a repository's place now for the right one. */
export const acceptCommand = (repository: string): string => `reprise storage accept ${repository}`;

/** Where that is, for people. */
export function placeOfTool({ type, values }: DescribedStorage): string {
  const { path, bucket, prefix } = values as { path?: string; bucket?: string; prefix?: string };
  return path ?? `${type}://${bucket ?? ''}/${prefix ?? ''}`;
}
