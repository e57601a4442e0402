import { basebackupCapabilities, basebackupOptions, readBasebackupOptions, receivesWal } from './basebackup/options.js';
import type { EngineKind } from './engine.js';
import { logicalCapabilities, logicalOptions, readLogicalOptions } from './logical/options.js';
import { mainConfig } from './pgbackrest/config-places.js';
import {
  OLDEST_PGBACKREST,
  pgbackrestCapabilities,
  pgbackrestOptions,
  readPgbackrestOptions,
  type PgbackrestOptions,
} from './pgbackrest/options.js';
import { readWalgOptions, walgCapabilities, walgOptions } from './walg/options.js';

/**
 * Every kind of engine: one line each; config schema, choices of the command line and docs follow from it. It loads no
 * engine: `loaded-engines.ts` does.
 */
export const engineKinds: Readonly<Record<string, EngineKind>> = {
  basebackup: engineKind({
    load: async () => (await import('./basebackup/basebackup-engine.js')).basebackupEngine,
    capabilities: basebackupCapabilities,
    options: basebackupOptions,
    read: readBasebackupOptions,
    receives: receivesWal,
    roleAttributes: 'REPLICATION',
    tools: ['pg_basebackup', 'pg_verifybackup', 'pg_receivewal'].map((program) => ({
      program,
      ofPostgres: true,
      install: "apt-get install postgresql, of the server's major version",
    })),
  }),
  logical: engineKind({
    load: async () => (await import('./logical/logical-engine.js')).logicalEngine,
    capabilities: logicalCapabilities,
    options: logicalOptions,
    read: readLogicalOptions,
    tools: ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'].map((program) => ({
      program,
      ofPostgres: true,
      install: "apt-get install postgresql-client, of the server's major version",
    })),
  }),
  pgbackrest: engineKind({
    load: async () => (await import('./pgbackrest/pgbackrest-engine.js')).pgbackrestEngine,
    capabilities: pgbackrestCapabilities,
    options: pgbackrestOptions,
    read: readPgbackrestOptions,
    place: (options) => `stanza ${String(options['stanza'])} of ${mainConfig(options as PgbackrestOptions)}`,
    inspectPlace: async (options) => (await import('./pgbackrest/config-file.js')).inspectPgbackrestPlace(options),
    archiveCommand: async (policy) => (await import('./pgbackrest/wal/recovery-wal.js')).archiveCommand({ policy }),
    missingSetUp: async (options, server) =>
      (await import('./pgbackrest/config-file.js')).missingStanza(options as PgbackrestOptions, server),
    tools: [
      { program: 'pgbackrest', ofPostgres: false, install: 'apt-get install pgbackrest', oldest: OLDEST_PGBACKREST },
    ],
  }),
  walg: engineKind({
    load: async () => (await import('./walg/walg-engine.js')).walgEngine,
    capabilities: walgCapabilities,
    options: walgOptions,
    read: readWalgOptions,
    keepsTimeouts: true,
    place: ({ envFile }) => `the storage of ${String(envFile)}`,
    inspectPlace: async (options) => (await import('./walg/env-file.js')).inspectWalgPlace(options),
    archiveCommand: async (policy) => (await import('./walg/wal/recovery-wal.js')).archiveCommand({ policy }),
    tools: [
      {
        program: 'wal-g',
        ofPostgres: false,
        namedBy: 'binary',
        versionArgument: '--version',
        install: 'put a release of WAL-G on PATH, or name it in options.binary',
      },
    ],
  }),
};

/** Checks that a line's reader and schema belong together, before their types are forgotten. */
function engineKind<S extends EngineKind['options']>(kind: EngineKind<S>): EngineKind {
  return kind as unknown as EngineKind;
}
