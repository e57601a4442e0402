import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { RepositoryConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { sizeInWords } from '../domain/text/text.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { openStorage, storageKinds } from '../storage/registry.js';

/** Less than this is no room for a backup of anything. */
const LITTLE_BYTES = 1_000_000_000;

/** Whether a repository can be written and has room. */
export async function repositoryFindings(repository: RepositoryConfig): Promise<readonly Finding[]> {
  const check = `repository/${repository.name}`;
  const path = localPathOf(repository);
  const found = path === null ? null : await stat(path).catch(() => null);
  if (path !== null && found === null) {
    // Opening it would make it, as whoever runs doctor and not as the worker's user.
    return [ok(check, `repository ${repository.name}: ${path} does not exist yet; the first backup creates it`)];
  }
  const storage = openStorage(repository, { secret: resolveSecret });
  const findings: Finding[] = [...plainFindings(repository)];
  if (found !== null && (found.mode & 0o077) !== 0) {
    findings.push(
      warning(
        check,
        `repository ${repository.name}: ${path} can be read by other users (mode ${(found.mode & 0o777).toString(8)}): backups contain everything that the database contains`,
        `chmod 700 ${path}`,
      ),
    );
  }
  const key = `.reprise-doctor-${randomBytes(6).toString('hex')}`;
  try {
    await storage.createIfAbsent(key, '');
    await storage.remove(key);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [
      ...findings,
      problem(
        check,
        `repository ${repository.name} cannot be written: ${message}`,
        (isRepriseError(error) ? error.hint : undefined) ?? 'check its permissions and its disk',
      ),
    ];
  }
  const free = await storage.freeBytes();
  const room = free === null ? '' : `, ${sizeInWords(free)} free`;
  if (free !== null && free < LITTLE_BYTES)
    findings.push(
      warning(
        check,
        `repository ${repository.name} has little free space${room}`,
        'free space there, or shorten the retention',
      ),
    );
  return [...findings, ok(check, `repository ${repository.name} can be written${room}`)];
}

/** Backups, and the keys that ask for them, on a network that others may read. */
export function plainFindings(repository: RepositoryConfig): readonly Finding[] {
  const address = storageKinds[repository.type]?.plainAddress?.(repository.options) ?? null;
  if (address === null) return [];
  return [
    warning(
      `repository/${repository.name}`,
      `repository ${repository.name}: ${address} is reached without TLS: whoever is on the way can read the backups and change them`,
      'use an https:// endpoint; ca_file names the authority of a certificate of your own',
    ),
  ];
}

/** Directory of a repository on a path of one host; null for any other kind. */
export function localPathOf(repository: RepositoryConfig): string | null {
  const kind = storageKinds[repository.type];
  return kind?.onHost === true ? kind.place(repository.options) : null;
}
