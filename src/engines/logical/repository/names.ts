import type { PolicyFolder } from '../../shared/policy-folder.js';
import { labelTime, operationMark, policyPrefix } from '../../shared/policy-folder.js';

/** Where the files of one backup are, as keys of the repository. The manifest is the commit marker. */
export interface BackupFiles {
  readonly dump: string;
  readonly globals: string;
  readonly manifest: string;
}

/**
 * Base name of a backup's files, `mairie_full_20261121_021500` (UTC), which is also its label.
 *
 * @param startedAt UTC ISO-8601 instant of the operation's start, the same in every attempt.
 */
export function labelOf(database: string, startedAt: string): string {
  return `${encodeName(database)}_full_${labelTime(startedAt)}`;
}

/** The database a label names; null where the label is none of ours. */
export function databaseOf(label: string): string | null {
  const match = /^(.+)_full_\d{8}_\d{6}$/.exec(label);
  if (match?.[1] === undefined) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return null;
  }
}

/**
 * A name safe as a part of a file's name, and different for different names: every byte of UTF-8 but letters,
 * digits, `_` and `-` as `%XX`. The longest name PostgreSQL has, 63 bytes, stays below 255 with what is added to it.
 */
export function encodeName(name: string): string {
  return [...Buffer.from(name, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9_-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

/** Prefix of files that are not yet, or never will be, a backup. */
export function incomingPrefix(folder: PolicyFolder): string {
  return `${policyPrefix(folder)}incoming/`;
}

export function filesOf(folder: PolicyFolder, label: string, encrypted: boolean): BackupFiles {
  return namesBelow(policyPrefix(folder), label, encrypted);
}

/** The manifest has the same name whether the files beside it are encrypted or not. */
export function manifestKeyOf(folder: PolicyFolder, label: string): string {
  return filesOf(folder, label, false).manifest;
}

/** Every file that a backup may have, the manifest first: without it the others are no backup. */
export function everyFileOf(folder: PolicyFolder, label: string): readonly string[] {
  const [plain, encrypted] = [filesOf(folder, label, false), filesOf(folder, label, true)];
  return [plain.manifest, plain.globals, encrypted.globals, plain.dump, encrypted.dump];
}

/** Incomplete files carry their operation, so that an operation recognises, and removes, only its own. */
export function incomingFilesOf(
  folder: PolicyFolder,
  operationId: string,
  label: string,
  encrypted: boolean,
): BackupFiles {
  return namesBelow(incomingPrefix(folder), `${operationMark(operationId)}-${label}`, encrypted);
}

function namesBelow(prefix: string, base: string, encrypted: boolean): BackupFiles {
  const end = encrypted ? '.age' : '';
  return {
    dump: `${prefix}${base}.dump${end}`,
    globals: `${prefix}${base}.globals.sql${end}`,
    manifest: `${prefix}${base}.json`,
  };
}
