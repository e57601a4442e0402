import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { HostConfig, RepositoryConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { sizeInWords, shellWord } from '../domain/text/text.js';
import { acceptCommand } from '../domain/storage/repository-identity.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { knownRepositories } from '../records/known-repositories.js';
import { unmakeable } from './machine.js';
import { identityCheck } from '../records/repository-identity.js';
import { openStorage } from '../storage/open-storage.js';
import { storageKinds } from '../storage/registry.js';

/** Less than this is no room for a backup of anything. */
const LITTLE_BYTES = 1_000_000_000;

/** Whether a repository can be written and has room. */
export async function repositoryFindings(
  repository: RepositoryConfig,
  { stateDir }: Pick<HostConfig, 'stateDir'>,
): Promise<readonly Finding[]> {
  const check = `repository/${repository.name}`;
  const path = localPathOf(repository);
  const other = await identityOf(repository, stateDir);
  // Nothing is tried there, not even with an empty file.
  if (other !== null) return [other];
  const found = path === null ? null : await stat(path).catch(() => null);
  if (path !== null && found === null) {
    // Opening it would make it, as whoever runs doctor and not as the worker's user.
    return [
      (await unmakeable(check, `repository ${repository.name}:`, path)) ??
        ok(check, `repository ${repository.name}: ${path} does not exist yet; the first backup creates it`),
    ];
  }
  const storage = openStorage(repository, { secret: resolveSecret });
  const findings: Finding[] = [...plainFindings(repository)];
  if (path !== null && found !== null) findings.push(...modeFindings(check, repository.name, path, found.mode));
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

function identityOf(repository: RepositoryConfig, stateDir: string): Promise<Finding | null> {
  return identityFinding(`repository/${repository.name}/identity`, repository.name, {
    stateDir,
    called: `repository ${repository.name}`,
    where: storageKinds[repository.type]?.place(repository.options) ?? '',
    accept: acceptCommand(repository.name),
    storage: () => openStorage(repository, { secret: resolveSecret, existing: true }),
  });
}

function modeFindings(check: string, name: string, path: string, mode: number): readonly Finding[] {
  if ((mode & 0o077) === 0) return [];
  return [
    warning(
      check,
      `repository ${name}: ${path} can be read by other users (mode ${(mode & 0o777).toString(8)}): backups contain everything that the database contains`,
      `chmod 700 ${shellWord(path)}`,
    ),
  ];
}

interface Identified {
  readonly stateDir: string;
  readonly called: string;
  readonly where: string;
  readonly accept: string;
  readonly storage: () => ReturnType<typeof openStorage>;
}

/** Whether what is there is another repository than this host knows; null where it is the known one, or none is known. */
export async function identityFinding(
  check: string,
  name: string,
  { stateDir, called, where, accept, storage }: Identified,
): Promise<Finding | null> {
  const known = knownRepositories(stateDir);
  // Who runs doctor may not read the state directory of the worker.
  if ((await known.find(name).catch(() => null)) === null) return null;
  try {
    await identityCheck({ name, called, where, accept, storage: storage(), known }).require(false);
    return null;
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'repository-mismatch') return null;
    return problem(check, error.message, error.hint ?? accept);
  }
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
