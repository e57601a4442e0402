import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { DatabaseProperties } from '../../../postgres/content/database-properties.js';
import { runProgram } from '../../../process/exec/run-program.js';
import type { ReadContext } from '../../engine.js';
import { toolFailure } from '../../../process/exec/tool-rules.js';
import { LOGICAL_TOOLS } from '../tool-rules.js';

type Host = Pick<ReadContext, 'pgBin' | 'user' | 'signal'>;

/** What a dump in custom format says of itself. */
export interface ArchiveHeader {
  /** As pg_restore shows it: line ends in a name are blanks. */
  readonly database: string;
  /** Wall clock of the machine that made it, without a zone: `2026-11-21 01:30:00`. */
  readonly createdAt: string;
  /** `server_version_num` of the server it was made from. */
  readonly serverVersionNum: number;
  /** Major version of the pg_dump that wrote it. */
  readonly toolMajor: number;
  readonly extensions: readonly string[];
}

const HEAD_BYTES = 512;
const CUSTOM = 1;
const LISTING_MS = 10 * 60_000;

/** Why a file is no dump in custom format, in words; null where it begins like one. */
export async function whyNoDump(path: string): Promise<string | null> {
  const head = await headOf(path);
  if (head.length === 0) return 'it is empty';
  const text = head.toString('latin1');
  // Magic, three bytes of version, sizes of integers and offsets, format (pg_backup_archiver.c, ReadHead).
  if (text.startsWith('PGDMP'))
    return head[10] === CUSTOM
      ? null
      : 'it is a part of a dump in another format; only dumps of pg_dump -Fc can be adopted';
  if (/^--\r?\n-- PostgreSQL database cluster dump/.test(text))
    return 'it is what pg_dumpall writes (plain SQL): dump each database with pg_dump -Fc';
  if (/^--\r?\n-- PostgreSQL database dump/.test(text) || /^(SET|CREATE|COPY|BEGIN|\\connect|--)\b/m.test(text))
    return 'it is plain SQL: only dumps of pg_dump -Fc can be adopted';
  if (head[0] === 0x1f && head[1] === 0x8b) return 'it is compressed with gzip: gunzip it first';
  if (text.startsWith('toc.dat')) return 'it is a dump in tar format: only dumps of pg_dump -Fc can be adopted';
  return 'it is no dump of pg_dump';
}

/** A named pipe put there would hold us for ever, a link lead elsewhere. */
async function headOf(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * Reads the table of contents. It says little of the data: pg_restore lists a truncated dump too.
 * @throws RepriseError `backup-corrupt` where pg_restore cannot read it
 */
export async function readHeader(host: Host, path: string): Promise<ArchiveHeader> {
  const listing = await restore(host, ['--list', path]);
  const value = (name: string): string | undefined => new RegExp(`^;\\s+${name}: (.*)$`, 'm').exec(listing)?.[1];
  const createdAt = /^; Archive created at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)/m.exec(listing)?.[1];
  const [database, server, tool] = [
    value('dbname'),
    value('Dumped from database version'),
    value('Dumped by pg_dump version'),
  ];
  if (createdAt === undefined || database === undefined || server === undefined || tool === undefined) {
    throw new RepriseError('backup-corrupt', 'its header does not say which database it is of', 'it cannot be adopted');
  }
  const [major = 0, minor = 0] = server.split(/[^\d]+/).map(Number);
  return {
    database,
    createdAt,
    toolMajor: Number.parseInt(tool, 10),
    serverVersionNum: major * 10_000 + minor,
    extensions: [...listing.matchAll(/^\d+; 3079 \d+ EXTENSION - (\S+)/gm)]
      .map(([, name = '']) => name)
      .filter((name) => name !== 'plpgsql'),
  };
}

/** Encoding and locale of the database that was dumped, from its own CREATE DATABASE; what it does not say is left out. */
export async function readLocale(
  host: Host,
  path: string,
): Promise<Partial<Pick<DatabaseProperties, 'encoding' | 'collate' | 'ctype'>>> {
  const listing = await restore(host, ['--list', '--create', path]);
  const entry = /^\d+; 1262 \d+ DATABASE - .*$/m.exec(listing)?.[0];
  if (entry === undefined) return {};
  const sql = await restore(host, ['--create', '--use-list=/dev/stdin', '--file=-', path], `${entry}\n`);
  const last = (name: string): string | undefined =>
    [...sql.matchAll(new RegExp(`^CREATE DATABASE .* ${name} = '([^']*)'`, 'gm'))].at(-1)?.[1];
  const [encoding, locale] = [last('ENCODING'), last('LOCALE')];
  const [collate, ctype] = [last('LC_COLLATE') ?? locale, last('LC_CTYPE') ?? locale];
  return {
    ...(encoding === undefined ? {} : { encoding }),
    ...(collate === undefined ? {} : { collate }),
    ...(ctype === undefined ? {} : { ctype }),
  };
}

/** As PostgreSQL's user, never as root: a crafted dump may run code in pg_restore (CVE-2026-116314). */
async function restore({ pgBin, user, signal }: Host, argv: readonly string[], input?: string): Promise<string> {
  try {
    // Our standard input is a socket, which /dev/stdin cannot open again; that of a pipe it can.
    const through = input === undefined ? [] : ['/bin/sh', '-c', 'cat | "$@"', 'through'];
    const { stdout } = await runProgram([...through, join(pgBin, 'pg_restore'), ...argv], {
      user,
      signal,
      timeoutMs: LISTING_MS,
      input,
    });
    return stdout;
  } catch (error) {
    if (!isRepriseError(error) || typeof error.details['code'] !== 'number') throw error;
    const { code, message, hint } = toolFailure(LOGICAL_TOOLS, {
      name: 'pg_restore',
      exitCode: error.details['code'],
      output: String(error.details['stderrTail']),
    });
    if (/Permission denied/i.test(message))
      throw new RepriseError(
        'privilege-missing',
        `user ${user?.name ?? 'of the worker'} may not read it`,
        'let that user read it: chmod or setfacl',
      );
    throw new RepriseError(
      code === 'version-mismatch' ? code : 'backup-corrupt',
      message,
      code === 'tool-failed' ? 'it cannot be adopted' : hint,
    );
  }
}
