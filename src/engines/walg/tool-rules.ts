import { TIMEOUT_RULE } from '../shared/timeout-rule.js';
import type { ToolTable } from '../../process/exec/tool-rules.js';

/** WAL-G ends with 1 whatever went wrong: only its words tell. The first rule that fits counts. */
export const WALG: ToolTable = {
  errorLine: firstError,
  rules: [
    TIMEOUT_RULE,
    {
      pattern: /No space left on device|Disk quota exceeded|XMinioStorageFull/i,
      code: 'storage-full',
      message: 'there is no space left',
      hint: 'free space, then run the step again; older backups are untouched',
    },
    {
      pattern: /function pg_start_backup\(.*does not exist/,
      code: 'version-mismatch',
      message: 'this WAL-G does not know that version of PostgreSQL',
      hint: 'PostgreSQL 15 and later need WAL-G 2.0.1 or newer: install it and name it in options.binary',
    },
    {
      pattern: /InvalidObjectState/,
      code: 'object-cold',
      message: 'it is in a storage class that has to be thawed before it can be read',
      hint: 'a recovery asks for the thaw of the backup and its WAL; what a plan itself has to read (sentinels, the newest WAL) is thawed with: aws s3api restore-object --restore-request Days=7 --bucket B --key K, then plan again',
    },
    {
      pattern: /Backup '.*' does not exist|No backups found/,
      code: 'not-found',
      message: 'the storage has no such backup',
      hint: 'list the backups: reprise backup list',
    },
    {
      pattern: /Archive '.*' does not exist/,
      code: 'not-found',
      message: 'the WAL segment is not in the archive',
      hint: 'look for gaps: wal-g wal-show',
    },
    {
      pattern: /must be empty|isn't empty/,
      code: 'path-refused',
      message: 'the target directory holds files that are not of this restore',
      hint: 'name an empty directory, or move its contents away',
    },
    {
      pattern: /not pg_data/,
      code: 'config-invalid',
      message: 'data_dir is no data directory',
      hint: 'correct data_dir of the cluster',
    },
    {
      pattern: /password authentication failed/i,
      code: 'database-unreachable',
      final: true,
      message: 'the server did not accept the login of WAL-G',
      hint: 'check connection.user and the passfile',
    },
    {
      pattern: /postgres connection failed|the database system is (?:starting|shutting)/i,
      code: 'database-unreachable',
      message: 'WAL-G cannot connect to the server',
      hint: 'check connection of the cluster, and that the server runs',
    },
    {
      pattern: /RequestTimeTooSkewed/,
      code: 'storage-refused',
      message: 'the clock of this host is wrong, and the storage refuses its requests',
      hint: 'set the clock (timedatectl status), then run the step again',
    },
    {
      pattern: /AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|403 Forbidden|[Pp]ermission denied/,
      code: 'privilege-missing',
      message: 'WAL-G may not read or write there',
      hint: 'check the keys in options.env_file, or the owner of the directory',
    },
    {
      pattern:
        /NoSuchBucket|RequestError|dial tcp|connection refused|no such host|Folder not exists or is inaccessible|i\/o timeout|\b503 |SlowDown/,
      code: 'storage-unreachable',
      message: 'the storage of WAL-G cannot be reached',
      hint: 'check the prefix and the endpoint in options.env_file, and the network',
    },
    // Last: WAL-G ends with the same words where a file could not be read for another reason.
    {
      pattern:
        /invalid frame checksum|decompress failed|Failed to decompress|unexpected EOF|archive\/tar: invalid|lz4: |brotli: |failed to extract files/,
      code: 'backup-corrupt',
      message: 'a file of the backup cannot be unpacked',
      hint: 'it is damaged, or encrypted with another key: recover from another backup',
    },
  ],
};

/** The first error that WAL-G reports, without the time: later ones follow from it. */
function firstError(output: string): string {
  const found = /^(?:ERROR|FATAL|PANIC): (?:\d{4}\/\d\d\/\d\d [\d:.]+ )?(.+)$/m.exec(output)?.[1];
  return found === undefined ? '' : found.trim().slice(0, 300);
}
