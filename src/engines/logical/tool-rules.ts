import { errorLine } from '../../files/tail.js';
import { ageRules } from '../../process/age/age.js';
import type { ToolTable } from '../../process/exec/tool-rules.js';
import { withoutValues } from '../../process/exec/tool-rules.js';

/** What pg_dump and pg_restore complain of, most specific first; wording as in PostgreSQL 12 to 18 with LC_ALL=C. */
export const LOGICAL_TOOLS: ToolTable = {
  errorLine: (output) => withoutValues(errorLine(output)),
  rules: [
    // What age says explains what the other side of its pipe says.
    ...ageRules,
    {
      pattern: /No space left on device|Disk quota exceeded|File too large/i,
      code: 'storage-full',
      message: 'there is no space left for the dump',
      hint: 'free space in the repository (reprise rotate --dry-run shows what can be removed), then run the backup again; older backups are untouched',
    },
    {
      pattern:
        /must be (?:pre)?loaded|can only be loaded via|security label provider|could not (?:access file|load library|open extension control file)|extension "[^"\n]{0,80}" is not available|can only create extension in database/i,
      code: 'extension-missing',
      message: 'the server lacks an extension or a library that the database uses',
      hint: 'install its package on the host of the server, and add it to shared_preload_libraries where it has to be preloaded; nothing is wrong with the backup',
    },
    {
      pattern: /could not create locale|collation "[^"\n]{0,200}" for encoding "[^"\n]{0,80}" does not exist/i,
      code: 'locale-missing',
      message: 'the host of the server lacks a locale that the database uses',
      hint: 'generate it there (dpkg-reconfigure locales) and restart the server; nothing is wrong with the backup',
    },
    {
      pattern: /out of shared memory|You might need to increase "?max_(?:locks|pred_locks)_per_transaction/i,
      code: 'lock-table-full',
      message: "the server's table of locks is too small for so many tables",
      hint: 'set max_locks_per_transaction higher (tables, indexes and sequences of the database, divided by max_connections), and restart the server; nothing is wrong with the backup',
    },
    {
      pattern: /affected by row-level security/i,
      code: 'privilege-missing',
      message: 'a table has row security that the backup role does not bypass, so its dump would lack rows',
      hint: 'ALTER ROLE <backup role> BYPASSRLS',
    },
    {
      pattern: /permission denied for large object/i,
      code: 'privilege-missing',
      message: 'the backup role may not read a large object',
      hint: 'pg_read_all_data does not cover large objects: GRANT SELECT ON LARGE OBJECT ..., or make the backup role a member of their owner',
    },
    {
      pattern: /code in the dump may not define anything while it is restored/,
      code: 'check-failed',
      message: 'code in the dump tried to change the database',
      hint: 'see what the constraints, indexes and functions that the message names do. The live database was not touched',
    },
    {
      pattern: /permission denied for|must be (superuser|owner)/i,
      code: 'privilege-missing',
      message: 'the role may not read or write all that the step needs',
      hint: 'for a backup: GRANT pg_read_all_data TO <backup role>; for a restore: connect as a role that may create what the dump holds',
    },
    {
      pattern: /server version mismatch|unsupported version [^\n]{0,80} in file header/i,
      code: 'version-mismatch',
      message: "PostgreSQL's client programs are older than the server or the dump",
      hint: 'install the client programs of the newer major version',
    },
    {
      pattern: /canceling statement due to lock timeout/i,
      code: 'tool-failed',
      message: 'a table stayed locked for longer than the dump waits',
      hint: 'look in pg_stat_activity for who holds the lock, and run the backup again when it is free',
    },
    {
      pattern: /FATAL: +database "[^\n]{0,200}" does not exist/i,
      code: 'not-found',
      message: 'the database is not there',
      hint: 'see the names under databases: of the cluster in reprise.yml',
    },
    {
      pattern: /password authentication failed|no password supplied/i,
      code: 'database-unreachable',
      final: true,
      message: 'the server did not accept the login',
      hint: 'check connection.user and the passfile',
    },
    {
      pattern:
        /could not connect to server|connection to server [^\n]{0,500} failed|server closed the connection|terminating connection|the database system is/i,
      code: 'database-unreachable',
      message: 'the connection to the server was lost or refused',
      hint: 'check that the server runs and accepts connections',
    },
    {
      pattern: /invalid snapshot identifier|could not import the requested snapshot/i,
      code: 'tool-failed',
      message: 'the snapshot of the row counts had ended before pg_dump could use it',
      hint: 'run the backup again',
    },
  ],
};
