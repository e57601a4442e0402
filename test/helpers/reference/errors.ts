import { errorTable, type ErrorCode } from '../../../src/domain/errors.js';

const exits: Readonly<Record<number, string>> = {
  1: 'the operation failed',
  2: 'usage',
  3: 'partly done',
  4: 'configuration',
  5: 'Temporal, a database or storage is unreachable',
  6: 'not found',
  7: 'conflict, or a lock is held',
  8: 'a check failed',
  9: 'refused before anything was changed: approval, policy, preflight',
  124: '`--timeout` passed; the work goes on',
  130: 'interrupted; the work goes on',
};

/** What each code means, and what to do. */
const codes: Readonly<Record<ErrorCode, readonly [meaning: string, action: string]>> = {
  internal: [
    'A fault of Reprise, or a file of its own that is damaged.',
    'Report it with the output of `REPRISE_DEBUG=1` ([debugging](../debugging.md#reporting-a-fault)).',
  ],
  'tool-failed': [
    'A program such as `pg_dump` ended with an error that may pass.',
    'Read its last lines in the message.',
  ],
  'tool-rejected': [
    'A program refused its input or options; another attempt gives the same result.',
    'Read its last lines in the message, and correct what they name.',
  ],
  'tool-missing': [
    'A program was not found or is too old.',
    'Install it, or set its path: `reprise doctor` shows where it is searched.',
  ],
  'job-stalled': [
    'A program was alive but made no progress for the configured time, and was ended.',
    'Find what it waits for: locks, disk, network. Then run it again.',
  ],
  'job-cancelled': [
    'A person cancelled the operation, and its program was ended.',
    'Start the operation again if it is still needed.',
  ],
  'page-corrupt': [
    'A page of the cluster has a wrong checksum: it is damaged on disk. A backup that finds one fails, and names file and page.',
    'Find the table or index and restore it, look at the disk; to take backups nevertheless: `page_errors: accept` in the options of the policy.',
  ],
  'repository-mismatch': [
    'What is at the place of a repository is not the repository that is known: its disk is not mounted, or its path is another one.',
    'Mount it or correct the path; for one that was moved or begun anew on purpose: `reprise storage accept REPOSITORY` ([storage](../storage.md#which-repository-it-is)).',
  ],
  usage: ['The command line is wrong.', '`reprise COMMAND --help` shows examples.'],
  'config-invalid': [
    '`reprise.yml` has an error, or differs from what was approved.',
    '`reprise config check` shows line and column.',
  ],
  'config-not-found': ['There is no `reprise.yml` where it was searched.', 'Name it: `reprise --config FILE`.'],
  'temporal-unreachable': [
    'The Temporal server does not answer.',
    '`reprise up`, or [when Temporal is down](../runbooks/temporal-is-down.md).',
  ],
  'database-unreachable': [
    'PostgreSQL does not accept connections.',
    '`reprise doctor` shows which layer fails: host, port, login or query.',
  ],
  'storage-unreachable': ['The repository does not answer.', 'Check the mount or the network; the step is repeated.'],
  'storage-full': ['The file system of a repository is full.', 'Free space there; older backups are kept.'],
  'not-found': [
    'What was named does not exist.',
    'List what there is: `reprise status`, `reprise backup list`, `reprise incident list`.',
  ],
  'lock-held': ['Another operation holds the cluster.', 'Wait for it: `reprise watch WORKFLOW-ID`.'],
  'worker-lost': [
    'A step lost its worker several times in a row (`timeouts.lost_workers` of the host).',
    "Read the worker's log and the kernel's (`journalctl -k`) for what ended it, such as too little memory; then `reprise continue`.",
  ],
  'step-stalled': [
    'A step made no progress for the configured time (`timeouts.stall` of the host).',
    'See whether the disks, mounts and servers that it uses answer; then `reprise continue`.',
  ],
  'lock-lost': [
    'The cluster lock of this operation was given to another one, or was released, before the step ran.',
    'Nothing: the operation takes the lock again and repeats the step. `reprise status` shows who holds it.',
  ],
  busy: [
    'The workflow was going on when the decision arrived, and did not take it.',
    'Send it again; the command line does so by itself.',
  ],
  conflict: [
    'Something is already there, or was changed by somebody else meanwhile.',
    'Look at what the message names; nothing was overwritten.',
  ],
  'check-failed': [
    'A check after a restore, or of the state of backups, failed.',
    'Read which check failed and what it found.',
  ],
  'backup-corrupt': [
    'A backup is not what was recorded: truncated, changed or unreadable.',
    'Use another one: `reprise backup list`.',
  ],
  'policy-missing': [
    'The configuration has no such policy, or no approval policy for this action.',
    'Add it to `reprise.yml`.',
  ],
  'policy-disabled': ['The policy has `enabled: false`.', 'Enable it in `reprise.yml`.'],
  'approval-refused': [
    'The person may not approve this plan, or nothing waits for the decision.',
    '`reprise status WORKFLOW-ID` shows who may.',
  ],
  'approval-used': [
    'The plan was carried out, rejected or replaced; its approval cannot be used again.',
    'Make a new plan.',
  ],
  'plan-unknown': [
    'This host did not make this plan, or it belongs to another operation.',
    'Make a new plan on this host.',
  ],
  'plan-stale': ['What would be done now differs from what was approved.', 'Read the new plan, and approve it.'],
  'plan-expired': ['The plan was approved, or begun, too long ago.', 'Read the plan again, and approve it again.'],
  'confirmation-needed': [
    'The command destroys something and nobody confirmed it.',
    'Run it at a terminal, and type what it asks for.',
  ],
  'capability-missing': [
    'This engine, storage or version cannot do what was asked for.',
    'The message names what can.',
  ],
  'version-mismatch': [
    'Versions of server, programs or backup do not fit.',
    'Use the programs of the version that is named.',
  ],
  'identity-mismatch': [
    'The backup is of another cluster (system identifier) or another database.',
    'Choose a backup of this cluster.',
  ],
  'encoding-mismatch': [
    'The encodings of backup and target differ.',
    'Restore into a database with the encoding of the backup.',
  ],
  'privilege-missing': ['A role, a file or a key lacks a right.', 'Give the right that the message names.'],
  'disk-full': ['The target, or the disk of `pg_wal`, has too little space.', 'Free space on the path that is named.'],
  'wal-gap': [
    'A WAL segment is missing or damaged; WAL after it cannot be replayed.',
    'Recover to a time before the gap, or from a later backup.',
  ],
  'wal-not-archived': [
    'WAL that a backup needs is not in the archive yet.',
    '`reprise doctor` shows why archiving fails.',
  ],
  'target-invalid': ['The target cannot be read.', 'A time needs an offset: `2026-11-21T08:00:00Z`.'],
  'target-ambiguous': ['The target has two readings; both are shown.', 'Name the one that you mean.'],
  'target-before-backup': [
    'The target is before the end of the oldest usable backup.',
    'Choose a later target, or an older backup.',
  ],
  'target-after-wal': ['The target is after the last WAL.', 'Recover to the latest recoverable time, which is shown.'],
  'target-not-reached': ['Replay ended before the target.', 'Read which WAL is missing; nothing was promoted.'],
  'no-usable-backup': [
    'No backup fits: none there, damaged, cold, or of another cluster.',
    '`reprise backup list` says why each one is not used.',
  ],
  'rotation-refused': [
    'Rotation would remove too much, or what is still needed.',
    'Read which backup and why; nothing was removed.',
  ],
  'path-refused': [
    'A path is outside its place, or is one that others can write to.',
    'Use a directory that only the owner can write to.',
  ],
  'topology-refused': [
    'Standbys, Patroni or logical slots would have to be rebuilt.',
    'Follow the message, or recover beside: `--into NAME`.',
  ],
  'pooler-refused': [
    'The connection leads to a pooler such as PgBouncer, which shares sessions with applications.',
    'Set `connection.host` and `connection.port` to those of PostgreSQL itself.',
  ],
  'service-failed': ['PostgreSQL did not start or stop.', 'Read its log; the message names the file.'],
  'host-without-worker': ['No worker serves the queue of this host.', 'Start it there: `reprise worker --host NAME`.'],
  timeout: ['`--timeout` passed.', 'The work continues: `reprise watch WORKFLOW-ID`.'],
  interrupted: ['Ctrl+C was pressed.', 'The work continues: `reprise watch WORKFLOW-ID`.'],
  'query-failed': ['PostgreSQL refused a query.', 'Read its message and SQLSTATE.'],
  'query-timeout': ['A query took longer than allowed.', 'Find what it waits for (`pg_stat_activity`).'],
  'extension-missing': ['The target server lacks an extension of the backup.', 'Install the package of the extension.'],
  'lock-table-full': [
    "The server's table of locks is too small for the number of tables.",
    'Set `max_locks_per_transaction` higher and restart the server.',
  ],
  'locale-missing': ['The host lacks a locale of the backup.', 'Generate the locale (`dpkg-reconfigure locales`).'],
  'key-missing': [
    'The host cannot decrypt the backup.',
    'Provide the key that is named ([encryption](../encryption.md)).',
  ],
  'partly-done': ['Some parts were done, others were not; they are listed.', 'Mend what is listed, and run it again.'],
  'notifier-unreachable': ['A mail server or webhook does not answer.', 'Check it: `reprise notify test`.'],
  'notifier-rejected': ['A mail server or webhook refused the message.', 'Check it: `reprise notify test`.'],
  'address-refused': [
    'The address of a webhook points into the internal network.',
    'Allow it in `reprise.yml` if it is yours.',
  ],
  'storage-refused': [
    'S3 refused the request: wrong credentials or a right is missing.',
    'Give the key the right that is named.',
  ],
  'object-cold': [
    'Files are in an archive class and must be thawed first.',
    'Start a recovery with `--thaw-tier`, or choose another backup.',
  ],
  'lifecycle-refused': [
    'A lifecycle rule contradicts retention or the time a recovery may take.',
    'Change the rule, or the retention.',
  ],
};

/** `docs/reference/errors.md`, from the one table of errors. */
export function errorReference(): string {
  const lines = [
    '# Errors',
    '',
    'Made from the code (`npm run docs`). An error is one lowercase sentence, a `HINT:` with what to do next, and one of these codes;',
    'under `--json` it is `{"error":{"code","message","hint"}}` on stderr. Codes are stable: new ones are added, none is renamed.',
    '"Tried again" says whether Temporal tries the step again by itself.',
  ];
  const entries = Object.entries(errorTable) as [ErrorCode, (typeof errorTable)[ErrorCode]][];
  for (const exit of [...new Set(entries.map(([, { exit }]) => exit))].toSorted((a, b) => a - b)) {
    lines.push(
      '',
      `## Exit ${exit}: ${exits[exit] ?? ''}`,
      '',
      '| code | meaning | what to do | tried again |',
      '|---|---|---|---|',
    );
    for (const [code, entry] of entries)
      if (entry.exit === exit)
        lines.push(`| \`${code}\` | ${codes[code].join(' | ')} | ${entry.retryable ? 'yes' : 'no'} |`);
  }
  return `${lines.join('\n')}\n`;
}
