import { registered } from '../domain/fields.js';
import { basebackupEngine } from './basebackup/basebackup-engine.js';
import { basebackupOptions, readBasebackupOptions } from './basebackup/options.js';
import type { Engine, EngineKind } from './engine.js';
import { logicalEngine } from './logical/logical-engine.js';
import { logicalOptions, readLogicalOptions } from './logical/options.js';
import { pgbackrestOptions, readPgbackrestOptions, type PgbackrestOptions } from './pgbackrest/options.js';
import { pgbackrestEngine } from './pgbackrest/pgbackrest-engine.js';
import { inspectPgbackrestPlace, mainConfig } from './pgbackrest/config-file.js';
import { OLDEST_PGBACKREST } from './pgbackrest/preflight.js';
import { readWalgOptions, walgOptions } from './walg/options.js';
import { inspectWalgPlace } from './walg/env-file.js';
import { walgEngine } from './walg/walg-engine.js';

/** Every kind of engine: one line each; config schema, choices of the command line and docs follow from it. */
export const engineKinds: Readonly<Record<string, EngineKind>> = {
  basebackup: engineKind({
    engine: basebackupEngine,
    options: basebackupOptions,
    read: readBasebackupOptions,
    tools: ['pg_basebackup', 'pg_verifybackup', 'pg_receivewal'].map((program) => ({
      program,
      ofPostgres: true,
      install: "apt-get install postgresql, of the server's major version",
    })),
  }),
  logical: engineKind({
    engine: logicalEngine,
    options: logicalOptions,
    read: readLogicalOptions,
    tools: ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'].map((program) => ({
      program,
      ofPostgres: true,
      install: "apt-get install postgresql-client, of the server's major version",
    })),
  }),
  pgbackrest: engineKind({
    engine: pgbackrestEngine,
    options: pgbackrestOptions,
    read: readPgbackrestOptions,
    place: (options) => `stanza ${String(options['stanza'])} of ${mainConfig(options as PgbackrestOptions)}`,
    inspectPlace: inspectPgbackrestPlace,
    tools: [
      { program: 'pgbackrest', ofPostgres: false, install: 'apt-get install pgbackrest', oldest: OLDEST_PGBACKREST },
    ],
  }),
  walg: engineKind({
    engine: walgEngine,
    options: walgOptions,
    read: readWalgOptions,
    place: ({ envFile }) => `the storage of ${String(envFile)}`,
    inspectPlace: inspectWalgPlace,
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

/** Engine of a kind named by a policy. Throws `config-invalid` for a kind that is not registered. */
export function engineOf(kind: string): Engine {
  return registered(engineKinds, kind, `unknown engine "${kind}"`, 'known engines').engine;
}

/** Checks that a line's reader and schema belong together, before their types are forgotten. */
function engineKind<S extends EngineKind['options']>(kind: EngineKind<S>): EngineKind {
  return kind as unknown as EngineKind;
}
