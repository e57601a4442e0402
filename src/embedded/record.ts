import { access, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../domain/config.js';
import { isRepriseError, RepriseError } from '../domain/errors.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { makePrivateDirectory } from '../files/directories.js';
import { errnoOf, isErrno } from '../files/paths.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';
import { userOf } from '../process/exec/users.js';
import { shellWord } from '../domain/text/text.js';

/** What `up` keeps in `<state_dir of the first host>/embedded/embedded.json`, so that every later command finds it. */
export interface EmbeddedRecord {
  readonly version: 1;
  readonly configFile: string;
  readonly port: number;
  readonly uiPort: number;
  /** Absent: the server was started by a version that left its HTTP API open. */
  readonly httpApi?: 'closed';
  /** Null once stopped: the ports stay, so that links and settings go on to hold. */
  readonly temporal: ProcessIdentity | null;
  readonly worker: (ProcessIdentity & { readonly configDigest: string }) | null;
}

export const NAMESPACE = 'default';

const RECORD = 'embedded.json';

/**
 * Directory of everything embedded: database, logs, record. That of the first host, unless `up` ran when another one of
 * this config was the first.
 * @throws RepriseError `privilege-missing` where this user may not see it
 */
export async function embeddedDirectory(config: Config): Promise<string> {
  const directories = Object.values(config.hosts).map(({ stateDir }) => join(stateDir, 'embedded'));
  const [first] = directories;
  if (first === undefined)
    throw new RepriseError(
      'config-invalid',
      `${config.file} names no host`,
      'add one under `hosts`, with its state_dir',
    );
  for (const directory of directories) if (await hasRecord(directory)) return directory;
  return first;
}

async function hasRecord(directory: string): Promise<boolean> {
  try {
    await access(join(directory, RECORD));
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw await unreadable(join(directory, RECORD), error);
  }
}

/** @throws RepriseError `privilege-missing` where this user may not read it; `internal` where it is damaged */
export async function readEmbeddedRecord(config: Config): Promise<EmbeddedRecord | null> {
  const file = join(await embeddedDirectory(config), RECORD);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw await unreadable(file, error);
  }
  try {
    return JSON.parse(text) as EmbeddedRecord;
  } catch {
    throw new RepriseError(
      'internal',
      `${file} is damaged`,
      `see which server and worker run: pgrep -a temporal; stop them, move the file away, then \`reprise up --config ${shellWord(config.file)}\``,
    );
  }
}

async function unreadable(file: string, error: unknown): Promise<RepriseError> {
  const owner = await ownerOf(file);
  return new RepriseError(
    'privilege-missing',
    `${file} cannot be read: ${errnoOf(error) ?? String(error)}`,
    `run the command as the user of the worker${owner === null ? '' : `: sudo -u ${shellWord(owner)} reprise ...`}`,
  );
}

/** User of the nearest directory that can be seen: the state directory's. */
async function ownerOf(path: string): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  if (found === null) return dirname(path) === path ? null : ownerOf(dirname(path));
  return (await userOf(found)).name;
}

export async function writeEmbeddedRecord(config: Config, record: EmbeddedRecord): Promise<void> {
  const directory = await embeddedDirectory(config);
  await makePrivateDirectory(directory);
  // The record is the worker's user's, also when root stops its server: whoever cannot read it cannot use the server.
  await writeFileAtomic(join(directory, RECORD), `${JSON.stringify(record, null, 2)}\n`, await stat(directory));
}

export interface RunningEmbedded {
  readonly address: string;
  readonly namespace: string;
  readonly webUi: string;
}

/**
 * The server that `reprise up` of this config has started, and whether it runs; null where there never was one.
 * @throws RepriseError `temporal-unreachable` where this user cannot see that
 */
export async function recordedEmbedded(
  config: Config,
): Promise<(RunningEmbedded & { readonly stopped: boolean }) | null> {
  if (Object.keys(config.hosts).length === 0) return null;
  const record = await readEmbeddedRecord(config).catch((error: unknown) => {
    if (!isRepriseError(error)) throw error;
    throw new RepriseError(
      'temporal-unreachable',
      `whether \`reprise up\` has started a Temporal server for ${config.file} cannot be seen: ${error.message}`,
      `${error.hint}; or name the server: --address HOST:PORT`,
    );
  });
  if (record === null) return null;
  return { ...addresses(record), stopped: record.temporal === null || !(await isAlive(record.temporal)) };
}

export function addresses({ port, uiPort }: Pick<EmbeddedRecord, 'port' | 'uiPort'>): RunningEmbedded {
  return { address: `127.0.0.1:${port}`, namespace: NAMESPACE, webUi: `http://127.0.0.1:${uiPort}` };
}
