import { createHash } from 'node:crypto';
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { configCandidates } from '../../../config/places.js';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { ownCacheDirectory } from '../../../files/cache-directory.js';
import type { Cli } from '../../cli-context.js';

/** Names that stand in the configuration. */
export const configKinds = [
  'cluster',
  'policy',
  'database',
  'table',
  'invariant',
  'host',
  'target',
  'repository',
  'media',
  'contact',
  'notifier',
  'schedule',
] as const;
/** Names that only the Temporal server or hosts know. */
export const serverKinds = ['operation', 'scheduled', 'backup', 'kept', 'beside', 'drill'] as const;
export type ConfigKind = (typeof configKinds)[number];
export type ServerKind = (typeof serverKinds)[number];

/** A name that may be offered, with what decides for which arguments. */
export interface Candidate {
  readonly name: string;
  readonly cluster?: string | undefined;
  /** State of an operation, a backup, a schedule or a copy. */
  readonly state?: string | undefined;
  readonly held?: boolean | undefined;
}

interface ConfigNames {
  /** Of the file when it was read: another one is another configuration. */
  readonly stamp: string;
  readonly lists: Readonly<Record<ConfigKind, readonly Candidate[]>>;
}
interface Asked {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly list: readonly Candidate[];
}
interface Content {
  readonly config?: ConfigNames;
  readonly server?: Partial<Readonly<Record<ServerKind, Asked>>>;
}

/** What is older was true once: nothing is offered then. */
const USEFUL_MS = 10 * 60_000;
/** What is younger is not asked for again; a list of backups has to be read on hosts. */
const FRESH_MS: Readonly<Record<ServerKind, number>> = {
  operation: 3_000,
  scheduled: 10_000,
  backup: 60_000,
  kept: 60_000,
  beside: 60_000,
  drill: 3_000,
};
/** A refresh that takes longer has failed. */
export const REFRESH_MS = 15_000;

/**
 * Names that completion offers, kept between two keys of a person: a file for each configuration and server, which the user
 * alone can write. Where there is no such place, nothing is kept.
 */
export class NameCache {
  private constructor(private readonly file: string | null) {}

  static of({ globals, terminal: { env } }: Cli): NameCache {
    const directory = ownCacheDirectory(env);
    if (directory === null) return new NameCache(null);
    const address = globals.address ?? env['TEMPORAL_ADDRESS'] ?? '';
    const namespace = globals.namespace ?? env['TEMPORAL_NAMESPACE'] ?? '';
    const key = JSON.stringify([configFile(globals.config, env), address, namespace]);
    const name = createHash('sha256').update(key).digest('hex').slice(0, 32);
    return new NameCache(join(directory, 'completion', `${name}.json`));
  }

  read(): Content {
    if (this.file === null) return {};
    try {
      return JSON.parse(readFileSync(this.file, 'utf8')) as Content;
    } catch {
      return {};
    }
  }

  /** Candidates of a kind as the server told them not long ago; null where it did not. */
  known(kind: ServerKind, now = Date.now()): readonly Candidate[] | null {
    const asked = this.read().server?.[kind];
    return asked !== undefined && now - asked.at < USEFUL_MS ? asked.list : null;
  }

  isFresh(kind: ServerKind, now = Date.now()): boolean {
    const asked = this.read().server?.[kind];
    return asked !== undefined && now - asked.at < FRESH_MS[kind];
  }

  async keepServer(lists: Partial<Readonly<Record<ServerKind, readonly Candidate[]>>>): Promise<void> {
    const at = Date.now();
    const told = Object.entries(lists).map(([kind, list]) => [kind, { at, list }] as const);
    const before = this.read();
    await this.write({ ...before, server: { ...before.server, ...Object.fromEntries(told) } });
  }

  async keepConfig(config: ConfigNames): Promise<void> {
    await this.write({ ...this.read(), config });
  }

  /** Whether this process may refresh it: one at a time, and not again at each key while a server does not answer. */
  claimRefresh(now = Date.now()): boolean {
    if (this.file === null) return false;
    const claim = `${this.file}.asking`;
    try {
      if (now - statSync(claim).mtimeMs < REFRESH_MS) return false;
      utimesSync(claim, new Date(now), new Date(now));
      return true;
    } catch {
      // Nobody asks.
    }
    try {
      writeFileSync(claim, '', { flag: 'wx', mode: 0o600 });
      return true;
    } catch {
      return false;
    }
  }

  endRefresh(): void {
    if (this.file !== null) rmSync(`${this.file}.asking`, { force: true });
  }

  /** A directory is made before the first claim. */
  async prepare(): Promise<void> {
    if (this.file !== null) await mkdir(join(this.file, '..'), { recursive: true, mode: 0o700 }).catch(() => undefined);
  }

  /** Never fails: what cannot be kept is asked for again. */
  private async write(content: Content): Promise<void> {
    if (this.file === null) return;
    await this.prepare();
    await writeFileAtomic(this.file, JSON.stringify(content)).catch(() => undefined);
  }
}

/** The configuration that counts, whether it can be read or not; null where there is none. */
function configFile(flag: string | undefined, env: Readonly<Record<string, string | undefined>>): string | null {
  for (const candidate of configCandidates(flag, env)) {
    if (stampOf(resolve(candidate)) !== null) return resolve(candidate);
  }
  return null;
}

/** Tells one content of a file from another without reading it; null where it is not there. */
function stampOf(file: string): string | null {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return null;
  }
}

/** Stamp and size of the configuration that counts. */
export function configStamp({
  globals,
  terminal: { env },
}: Cli): { readonly stamp: string; readonly bytes: number } | null {
  const file = configFile(globals.config, env);
  const stamp = file === null ? null : stampOf(file);
  return file === null || stamp === null ? null : { stamp, bytes: statSync(file).size };
}
