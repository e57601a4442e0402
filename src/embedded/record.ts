import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { makePrivateDirectory } from '../files/directories.js';
import { isAlive } from '../process/exec/process-identity.js';
import type { ProcessIdentity } from '../process/exec/process-identity.js';

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

/** Directory of everything embedded: database, logs, record. */
export function embeddedDirectory(config: Config): string {
  const [host] = Object.values(config.hosts);
  if (host === undefined)
    throw new RepriseError(
      'config-invalid',
      `${config.file} names no host`,
      'add one under `hosts`, with its state_dir',
    );
  return join(host.stateDir, 'embedded');
}

export async function readEmbeddedRecord(config: Config): Promise<EmbeddedRecord | null> {
  const file = join(embeddedDirectory(config), 'embedded.json');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw new RepriseError(
      'privilege-missing',
      `${file} cannot be read: ${error.code ?? error.message}`,
      'run as the user that ran `reprise up`',
    );
  });
  return text === null ? null : (JSON.parse(text) as EmbeddedRecord);
}

export async function writeEmbeddedRecord(config: Config, record: EmbeddedRecord): Promise<void> {
  const directory = embeddedDirectory(config);
  await makePrivateDirectory(directory);
  await writeFileAtomic(join(directory, 'embedded.json'), `${JSON.stringify(record, null, 2)}\n`);
}

export interface RunningEmbedded {
  readonly address: string;
  readonly namespace: string;
  readonly webUi: string;
}

/** Where the running `reprise up` of this config listens; null where there is none, or where only its record is left. */
export async function runningEmbedded(config: Config): Promise<RunningEmbedded | null> {
  if (Object.keys(config.hosts).length === 0) return null;
  // Another user's server is not ours to find: then the defaults hold.
  const record = await readEmbeddedRecord(config).catch(() => null);
  if (record?.temporal == null || !(await isAlive(record.temporal))) return null;
  return addresses(record);
}

export function addresses({ port, uiPort }: Pick<EmbeddedRecord, 'port' | 'uiPort'>): RunningEmbedded {
  return { address: `127.0.0.1:${port}`, namespace: NAMESPACE, webUi: `http://127.0.0.1:${uiPort}` };
}
