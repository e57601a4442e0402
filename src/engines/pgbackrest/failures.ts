import type { ErrorCode, RepriseError as Failure } from '../../domain/errors.js';
import { errorTable, RepriseError } from '../../domain/errors.js';
import { storageCode, storageRule } from './storage-failures.js';

interface Rule {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

const UNREACHABLE = 49;
const UNDECRYPTED = 95;

const wrongCluster: Rule = {
  code: 'identity-mismatch',
  message: 'the stanza belongs to another PostgreSQL cluster or version',
  hint: 'compare pg1-path, pg1-port and the stanza name with the cluster; after pg_upgrade of this very cluster run: pgbackrest stanza-upgrade',
};
const wrongConfig: Rule = {
  code: 'config-invalid',
  message: 'pgBackRest does not accept its configuration',
  hint: 'correct the option that the message names in pgbackrest.conf',
};
const noArchiving: Rule = {
  code: 'config-invalid',
  message: 'the server does not archive with pgBackRest',
  hint: 'set archive_mode = on and an archive_command that runs pgbackrest archive-push for this stanza, then restart or reload',
};
const noRepository: Rule = {
  code: 'storage-unreachable',
  message: 'the repository cannot be reached',
  hint: 'check repo1-* in pgbackrest.conf, the network and the rights of the user that runs pgbackrest',
};

/** Exit codes of pgBackRest that mean one thing; numbers from its error table, stable over versions. */
const rules: Readonly<Record<number, Rule>> = {
  26: {
    code: 'backup-corrupt',
    message: 'a file does not have its recorded checksum',
    hint: 'run: reprise backup verify ID; then recover from another backup',
  },
  27: wrongConfig,
  28: wrongCluster,
  29: {
    code: 'backup-corrupt',
    message: 'a file of the repository cannot be read',
    hint: 'run: pgbackrest verify; a backup whose manifest is damaged cannot be restored: take a new full one',
  },
  31: wrongConfig,
  32: wrongConfig,
  37: wrongConfig,
  38: {
    code: 'conflict',
    message: 'a PostgreSQL server runs in the target directory',
    hint: 'stop it, or remove a stale postmaster.pid after checking that no server runs',
  },
  40: {
    code: 'path-refused',
    message: 'the target directory holds files that are not of this restore',
    hint: 'name an empty directory, or move its content away',
  },
  44: wrongCluster,
  46: {
    code: 'version-mismatch',
    message: 'this pgBackRest does not know that version of PostgreSQL',
    hint: 'install a newer pgbackrest',
  },
  [UNREACHABLE]: noRepository,
  50: {
    code: 'lock-held',
    message: 'another pgBackRest command works on this stanza',
    hint: 'wait for it to end; cron may not run pgbackrest beside Reprise',
  },
  51: wrongCluster,
  56: {
    code: 'database-unreachable',
    message: 'pgBackRest cannot connect to the server',
    hint: 'check pg1-port, pg1-socket-path and pg1-user in pgbackrest.conf, and that the server runs',
  },
  58: wrongCluster,
  62: {
    code: 'conflict',
    message: 'pgBackRest was stopped for this stanza',
    hint: 'run: pgbackrest --stanza=... start',
  },
  68: noArchiving,
  75: {
    code: 'not-found',
    message: 'the repository has no such backup',
    hint: 'list what is there: reprise backup list',
  },
  80: {
    code: 'database-unreachable',
    message: 'pgBackRest found no server to back up',
    hint: 'check pg1-path and that the server runs',
  },
  82: {
    code: 'wal-not-archived',
    message: 'a WAL segment was not archived in time',
    hint: "read the server's log for what archive_command says and pg_stat_archiver for since when; until it works, pg_wal grows",
  },
  87: noArchiving,
  [UNDECRYPTED]: {
    code: 'config-invalid',
    message: 'the repository cannot be decrypted',
    hint: 'check repo1-cipher-pass in pgbackrest.conf',
  },
  102: noRepository,
  103: noRepository,
};

const noRights: Rule = {
  code: 'privilege-missing',
  message: 'the user that runs pgbackrest may not write where it has to',
  hint: 'check the owner of log-path, lock-path, spool-path and the repository: was pgbackrest run there as another user?',
};
const full: Rule = {
  code: 'storage-full',
  message: 'there is no room left',
  hint: 'free space, then run the step again; older backups are untouched',
};
/** Codes after which the same command cannot do better a moment later; a file with a wrong checksum (26) it has tried again by itself. */
const final = new Set([26, 27, 28, 29, 31, 32, 37, 38, 40, 44, 46, 51, 58, 62, 68, 75, 87, 95]);

/** A failed command in words, with a code from the error table. */
export function failureOf(command: string, exitCode: number, output: string, cause?: Failure): Failure {
  const rule = outOfRoom(output) ? full : noAccess(output) ? noRights : (storageRule(output) ?? rules[exitCode]);
  const line = errorLine(output);
  const details = { ...cause?.details, tool: 'pgbackrest', command, code: exitCode };
  if (rule === undefined) {
    return new RepriseError(
      'tool-failed',
      `pgbackrest ${command} exited with ${exitCode}${line}`,
      'remove what the message names, then run the step again',
      details,
    );
  }
  return new RepriseError(rule.code, `${rule.message}${line}`, rule.hint, details);
}

/** What `info` says of a repository that it cannot read: it ends with 0, and prints `[HostConnectError] unable to ...`. */
export function failureOfRepository(message: string): Failure {
  const [, name, words = message] = /^\[(\w+)\] ([^]*)$/.exec(message) ?? [];
  return failureOf('info', name === 'CryptoError' ? UNDECRYPTED : UNREACHABLE, `ERROR: [099]: ${words}`);
}

/** Whether the reason of a failure may pass, so that starting the same command again may help. */
export function mayPass(exitCode: number, output: string): boolean {
  const ofStorage = storageRule(output);
  if (ofStorage !== undefined) return errorTable[ofStorage.code].retryable;
  return !final.has(exitCode) && !outOfRoom(output) && !noAccess(output);
}

function outOfRoom(output: string): boolean {
  return /No space left on device|Disk quota exceeded|File too large/i.test(output);
}

function noAccess(output: string): boolean {
  return /ERROR: \[\d+\]: unable to [^\n]*Permission denied/.test(output);
}

/** The first error that pgBackRest reports, without its number: later ones follow from it. */
function errorLine(output: string): string {
  const found = /ERROR: \[\d+\]: (?:raised from [^:]+: )?(.+)/.exec(output)?.[1];
  return found === undefined ? '' : `: ${found.trim().replace(/:$/, '').slice(0, 300)}${storageCode(output)}`;
}
