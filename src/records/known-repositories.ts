import { join } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from './digest.js';
import { damagedStateFile, readJson, replaceJson } from './state-files.js';

/** A repository as this host has used it. */
export interface KnownRepository {
  /** Its name in the configuration, or `CLUSTER/POLICY` for that of an engine's own tool. */
  readonly name: string;
  readonly id: string;
  /** Where it was when it was last made known. */
  readonly where: string;
  /** UTC ISO-8601. */
  readonly at: string;
}

const known = z.looseObject({ name: z.string(), id: z.string(), where: z.string(), at: z.string() });

/** Which repositories a host knows, in its state directory: what is there must not decide what is the right one. */
export interface KnownRepositories {
  find(name: string): Promise<KnownRepository | null>;
  keep(repository: KnownRepository): Promise<void>;
}

export function knownRepositories(stateDir: string): KnownRepositories {
  const folder = join(stateDir, 'repositories');
  const fileOf = (name: string): string => join(folder, `${sha256Hex(name)}.json`);
  return {
    async find(name) {
      const path = fileOf(name);
      const value = await readJson(path);
      if (value === null) return null;
      const parsed = known.safeParse(value);
      if (!parsed.success || parsed.data.name !== name) throw damagedStateFile(path);
      return parsed.data;
    },
    keep: (repository) => replaceJson(fileOf(repository.name), repository),
  };
}
