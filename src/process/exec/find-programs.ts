/**
 * Finds the programs Reprise starts but does not ship: the Temporal command line, the time-skipping test
 * server, and PostgreSQL's own tools. `npm run setup` puts them where these functions look.
 */
import { access, constants, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';

/** Versions that scripts/setup fetches; a unit test holds both sides to the same numbers. */
export const TEMPORAL_VERSION = '1.9.1';
export const TEST_SERVER_VERSION = '1.40.0';

const DEBIAN_POSTGRES = '/usr/lib/postgresql';
/** Where a set-up by root keeps what all users run. */
const SHARED_TOOLS = '/var/cache/reprise';

/**
 * The Temporal command line, which also holds the embedded server.
 * @throws RepriseError `tool-missing`
 */
export async function findTemporalBinary(): Promise<string> {
  const program = join(`temporal-${TEMPORAL_VERSION}`, 'temporal');
  // What set-up fetched goes before PATH: it does so only where what PATH offers is missing or too old. Root's set-up
  // puts it where every user finds it, others into their own home.
  return (
    (await fromEnvironment('REPRISE_TEMPORAL_BIN')) ??
    (await executable(join(cacheDirectory(), program))) ??
    (await executable(join(sharedToolsDirectory(), program))) ??
    (await fromPath('temporal')) ??
    missing(
      'the Temporal command line was not found',
      'In a clone: npm run setup. Elsewhere: put `temporal` 1.9 or newer on PATH.',
    )
  );
}

/**
 * Temporal's time-skipping test server; only tests need it.
 * @throws RepriseError `tool-missing`
 */
export async function findTestServerBinary(): Promise<string> {
  const cached = join(cacheDirectory(), `temporal-test-server-${TEST_SERVER_VERSION}`, 'temporal-test-server');
  return (
    (await fromEnvironment('REPRISE_TEST_SERVER_BIN')) ??
    (await executable(cached)) ??
    missing("Temporal's test server was not found", 'Run: npm run setup -- --test')
  );
}

/**
 * The directory of PostgreSQL's programs: the version asked for, or else the newest one here.
 * `REPRISE_PG_BIN` goes before everything, whatever version it holds.
 * @throws RepriseError `tool-missing`, naming the package
 */
export async function findPostgresBin(version?: number): Promise<string> {
  const named = process.env['REPRISE_PG_BIN'];
  if (named !== undefined && named !== '') {
    if ((await executable(join(named, 'postgres'))) !== undefined) return named;
    return missing(`REPRISE_PG_BIN=${named} holds no program named postgres`, 'Correct or unset REPRISE_PG_BIN.');
  }
  const candidates = version === undefined ? await debianVersions() : [version];
  for (const candidate of candidates) {
    // Debian's own first; then what set-up fetched for the tests.
    for (const directory of [
      join(DEBIAN_POSTGRES, String(candidate), 'bin'),
      join(toolsDirectory(), `postgresql-${candidate}`, 'bin'),
    ]) {
      if ((await executable(join(directory, 'postgres'))) !== undefined) return directory;
    }
  }
  if (version === undefined) {
    const found = await fromPath('postgres');
    if (found !== undefined) return dirname(found);
    return missing(
      "PostgreSQL's server programs were not found",
      'Install it (apt-get install postgresql), or set REPRISE_PG_BIN.',
    );
  }
  return missing(
    `PostgreSQL ${version} was not found`,
    `Install it (apt-get install postgresql-${version}), or set REPRISE_PG_BIN to its bin directory.`,
  );
}

/** Where scripts/setup keeps what it downloads. */
function cacheDirectory(): string {
  const named = process.env['REPRISE_CACHE'];
  return named !== undefined && named !== '' ? named : join(homedir(), '.cache', 'reprise');
}

/** Where scripts/setup keeps tools that also other users run: the user postgres cannot look into root's home. */
export function toolsDirectory(): string {
  const isRoot = process.getuid?.() === 0;
  return isRoot || namedTools() !== null ? sharedToolsDirectory() : cacheDirectory();
}

function sharedToolsDirectory(): string {
  return namedTools() ?? SHARED_TOOLS;
}

function namedTools(): string | null {
  const named = process.env['REPRISE_TOOLS_CACHE'];
  return named === undefined || named === '' ? null : named;
}

/**
 * The program as a path: a name is looked up in PATH, a path must be absolute and exist.
 * @throws RepriseError `tool-missing`
 */
export async function requireProgram(program: string): Promise<string> {
  // A relative path would mean another program in another working directory.
  const named = program.includes('/') ? isAbsolute(program) : program !== '';
  const found = named ? await (isAbsolute(program) ? executable(program) : fromPath(program)) : undefined;
  if (found !== undefined) return found;
  throw new RepriseError(
    'tool-missing',
    `${program === '' ? 'a program without a name' : program} was not found on this host`,
    'Install it, or correct its path in the configuration, then run `reprise doctor`.',
  );
}

/**
 * The command of a program that prints gigabytes. Into a pipe most print 4 kB at a time, and each time whoever reads is woken; through
 * coreutils' `stdbuf`, where it is there, they print as much as is read at once.
 * @throws RepriseError `tool-missing`
 */
export async function printingMuch([name = '', ...rest]: readonly string[]): Promise<readonly string[]> {
  const program = await requireProgram(name);
  const stdbuf = await fromPath('stdbuf');
  return [...(stdbuf === undefined ? [] : [stdbuf, '-o64K']), program, ...rest];
}

async function debianVersions(): Promise<number[]> {
  const names = await readdir(DEBIAN_POSTGRES).catch(() => [] as string[]);
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => b - a);
}

async function fromEnvironment(variable: string): Promise<string | undefined> {
  const path = process.env[variable];
  if (path === undefined || path === '') return undefined;
  // A setting that points nowhere is a mistake to be told, not a reason to take another program silently.
  return (await executable(path)) ?? missing(`${variable}=${path} is not a program`, `Correct or unset ${variable}.`);
}

async function fromPath(name: string): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    // An empty or relative entry would let the working directory choose the program.
    if (!isAbsolute(directory)) continue;
    const found = await executable(join(directory, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

async function executable(path: string): Promise<string | undefined> {
  return access(path, constants.X_OK).then(
    () => path,
    () => undefined,
  );
}

function missing(what: string, hint: string): never {
  throw new RepriseError('tool-missing', what, hint);
}
