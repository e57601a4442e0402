import { errorLine } from '../../files/tail.js';
import { PAGE_CORRUPT_HINT } from '../shared/page-errors.js';
import type { ToolTable } from '../../process/exec/tool-rules.js';
import { withoutValues } from '../../process/exec/tool-rules.js';

/** What pg_basebackup, pg_verifybackup, pg_combinebackup and tar complain of; wording as in PostgreSQL 13 to 18 with LC_ALL=C. */
export const BASEBACKUP_TOOLS: ToolTable = {
  errorLine: (output) => withoutValues(errorLine(output)),
  rules: [
    {
      // The server warns of the first pages of a file, and pg_basebackup fails when all is read.
      pattern: /checksum verification failed in (?:file|block)|checksum error occurred|checksum verification failure/i,
      code: 'page-corrupt',
      message: 'a page of the cluster is damaged on disk',
      repeats: /checksum verification failed in (?:file|block) [^\n]*|checksum error occurred/i,
      hint: PAGE_CORRUPT_HINT,
    },
    {
      pattern: /No space left on device|Disk quota exceeded|File too large/i,
      code: 'storage-full',
      message: 'there is no space left',
      hint: 'free space in hosts.NAME.scratch_dir, then run the step again; older backups are untouched',
    },
    {
      pattern: /no pg_hba\.conf entry for replication connection/i,
      code: 'privilege-missing',
      message: 'pg_hba.conf allows no replication connection from this host',
      hint: 'add a line such as "local replication postgres peer" or "host replication ROLE ADDRESS scram-sha-256", then: SELECT pg_reload_conf()',
    },
    {
      pattern: /must be superuser or replication role|permission denied to start WAL sender/i,
      code: 'privilege-missing',
      message: 'the role may not take base backups',
      hint: 'ALTER ROLE <role of the connection> REPLICATION',
    },
    {
      pattern: /number of requested standby connections exceeds max_wal_senders|all replication slots are in use/i,
      code: 'config-invalid',
      message: 'the server has no WAL sender or replication slot left, and a base backup needs two',
      hint: 'raise max_wal_senders and max_replication_slots, or see pg_stat_replication for who uses them',
    },
    {
      pattern:
        /checksum mismatch for file|is present on disk but not in the manifest|is present in the manifest but not on disk|has size \d+ (?:on disk|in ".*") but size \d+ in the manifest|manifest checksum mismatch|could not parse (?:backup )?manifest|WAL parsing failed/i,
      code: 'backup-corrupt',
      message: 'the files are not what their backup_manifest says',
      hint: 'look at the memory and the disks of this host, and run the backup again; older backups are untouched',
    },
    {
      pattern: /unexpected end of file|crc error|invalid compressed data|Unexpected EOF in archive|not in gzip format/i,
      code: 'backup-corrupt',
      message: 'an archive of the backup is damaged',
      hint: 'choose another backup with recover --to backup:ID',
    },
    {
      pattern: /incompatible server version|server version mismatch/i,
      code: 'version-mismatch',
      message: "PostgreSQL's client programs do not fit the server",
      hint: 'install the client programs of the major version of the server',
    },
    {
      pattern: /WAL summar(?:y|ies|ization)/i,
      code: 'config-invalid',
      message: 'the server has no WAL summaries for an incremental backup',
      hint: "ALTER SYSTEM SET summarize_wal = 'on'; SELECT pg_reload_conf(); then take a full backup",
    },
    {
      pattern:
        /in manifest, but not in this server's history|manifest requires WAL from|system identifier is \d+, but database system identifier/i,
      code: 'no-usable-backup',
      message: 'the backup that this one would depend on does not belong to the history of this server',
      hint: 'backup run --type full',
    },
    {
      pattern: /password authentication failed|no password supplied/i,
      code: 'database-unreachable',
      final: true,
      message: 'the server did not accept the login',
      hint: 'check connection.user and the passfile: for replication its line needs the database "replication" or "*"',
    },
    {
      pattern:
        /could not connect to server|connection to server .* failed|server closed the connection|terminating connection|the database system is|could not receive data from WAL stream/i,
      code: 'database-unreachable',
      message: 'the connection to the server was lost or refused',
      hint: 'check that the server runs and accepts connections',
    },
  ],
};
