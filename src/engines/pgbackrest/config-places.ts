import { dirname, join } from 'node:path';
import type { PgbackrestOptions } from './options.js';

const DEFAULT_CONFIG = '/etc/pgbackrest/pgbackrest.conf';
/** Where it was before version 2.2, and still is with Debian: read where the default one is missing. */
const OLD_DEFAULT_CONFIG = '/etc/pgbackrest.conf';

/**
 * Where pgBackRest looks for its configuration, by its own rules (`cfgFileLoad`): `--config` alone turns the include directory
 * off, `--config-path` moves both defaults, and what was not named may be missing.
 */
export function configPlaces({ config, configPath, configIncludePath }: PgbackrestOptions): {
  readonly file: string;
  /** Read instead where `file` is missing. */
  readonly otherwise: string | null;
  readonly fileRequired: boolean;
  readonly include: string | null;
  readonly includeRequired: boolean;
} {
  const base = configPath ?? dirname(DEFAULT_CONFIG);
  const includes = config === undefined || configPath !== undefined || configIncludePath !== undefined;
  return {
    file: config ?? join(base, 'pgbackrest.conf'),
    otherwise: config === undefined && configPath === undefined ? OLD_DEFAULT_CONFIG : null,
    fileRequired: config !== undefined,
    include: includes ? (configIncludePath ?? join(base, 'conf.d')) : null,
    includeRequired: configIncludePath !== undefined,
  };
}

/** The main file, in words for people. */
export function mainConfig(options: PgbackrestOptions): string {
  return configPlaces(options).file;
}
