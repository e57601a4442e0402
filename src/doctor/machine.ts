import type { Stats } from 'node:fs';
import { access, constants, lstat, readdir, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Config, HostConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { sizeInWords, shellWord } from '../domain/text/text.js';
import { errnoOf, isErrno } from '../files/paths.js';
import { freeBytes, nearestExisting } from '../postgres/server/disk.js';
import { findTemporalBinary } from '../process/exec/find-programs.js';

/** Job records and logs are small; below this a worker soon cannot write any. */
const STATE_BYTES = 200_000_000;

/** Node, Temporal's command line, the user this runs as, and the state directory. */
export async function machineFindings(config: Config, host: HostConfig): Promise<readonly Finding[]> {
  return [
    // An older one than Reprise needs has ended the program at its start.
    ok('node', `Node ${process.versions.node}`),
    ...(await temporalFindings(config)),
    userFinding(),
    ...(await stateFindings(host)),
  ];
}

/** `reprise up` starts Temporal's command line; where the server runs elsewhere, nothing needs it. */
async function temporalFindings({ temporal }: Config): Promise<readonly Finding[]> {
  const check = 'temporal-cli';
  try {
    return [ok(check, `Temporal's command line: ${await findTemporalBinary()}`)];
  } catch (error) {
    const isElsewhere = temporal.address !== undefined || Boolean(process.env['TEMPORAL_ADDRESS']);
    if (isElsewhere || !isRepriseError(error)) return [];
    return [warning(check, `${error.message}: \`reprise up\` needs it`, error.hint ?? 'npm run setup')];
  }
}

function userFinding(): Finding {
  if (process.getuid?.() !== 0) return ok('user', `runs as ${userInfo().username}`);
  return warning(
    'user',
    'runs as root: jobs drop to the owner of the data directory, but a production worker should not be root',
    'run the worker as the owner of the data directory, usually postgres',
  );
}

async function stateFindings({ name, stateDir, scratchDir }: HostConfig): Promise<readonly Finding[]> {
  const check = `host/${name}/state_dir`;
  const looked = await seen(stateDir);
  if (typeof looked === 'string')
    return [
      problem(
        check,
        `the state directory ${stateDir} cannot be seen by ${userInfo().username} (${looked})`,
        `run as the user of the worker; or let ${userInfo().username} through the directories above it`,
      ),
    ];
  const found = looked;
  if (found === null)
    return [
      (await unmakeable(check, 'the state directory', stateDir)) ??
        ok(check, `the state directory ${stateDir} is created by the first worker`),
    ];
  if (!found.isDirectory())
    return [problem(check, `${stateDir} is no directory`, 'correct state_dir of the host, or move the file away')];
  const findings: Finding[] = [];
  const uid = process.getuid?.() ?? found.uid;
  if (uid !== 0 && found.uid !== uid)
    findings.push(
      problem(
        check,
        `the state directory ${stateDir} belongs to user ${found.uid}, not to this one (${uid})`,
        `run as its owner, or: chown ${uid} ${shellWord(stateDir)}`,
      ),
    );
  if ((found.mode & 0o077) !== 0)
    findings.push(
      problem(
        check,
        `the state directory ${stateDir} can be read by other users (mode ${(found.mode & 0o777).toString(8)}): it holds plans and approvals`,
        `chmod 700 ${shellWord(stateDir)}`,
      ),
    );
  findings.push(...(await foreignFindings(check, stateDir, found.uid)), ...(await scratchFindings(name, scratchDir)));
  const free = await freeBytes(stateDir);
  if (free < STATE_BYTES)
    findings.push(
      warning(
        check,
        `only ${sizeInWords(free)} are free for the state directory ${stateDir}`,
        'free space there: job records and logs are kept there',
      ),
    );
  return findings.length > 0
    ? findings
    : [ok(check, `the state directory ${stateDir} is owner-only, ${sizeInWords(free)} free`)];
}

/** What is at a path; null where there is nothing, the code of the error where that cannot be seen. */
async function seen(path: string): Promise<Stats | string | null> {
  try {
    return await stat(path);
  } catch (error) {
    return isErrno(error, 'ENOENT', 'ENOTDIR') ? null : (errnoOf(error) ?? String(error));
  }
}

/** Finds that this user could not make a directory that the first command has to make; null where it could. */
export async function unmakeable(check: string, what: string, path: string): Promise<Finding | null> {
  const parent = await nearestExisting(path);
  const may = await access(parent, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (may) return null;
  const user = userInfo().username;
  return problem(
    check,
    `${what} ${path} does not exist, and ${user} may not make it in ${parent}`,
    `sudo install -d -m 0700 -o ${shellWord(user)} ${shellWord(path)}`,
  );
}

async function scratchFindings(host: string, scratchDir: string): Promise<readonly Finding[]> {
  const check = `host/${host}/scratch_dir`;
  if ((await seen(scratchDir)) !== null) return [];
  const found = await unmakeable(check, 'the scratch directory', scratchDir);
  return found === null ? [] : [found];
}

/** Files that a worker of another user, mostly of root, has left: whoever owns the directory cannot go on with them. */
async function foreignFindings(check: string, stateDir: string, uid: number): Promise<readonly Finding[]> {
  const inDirectory = async (directory: string): Promise<readonly string[]> =>
    (await readdir(directory).catch(() => [])).map((name) => join(directory, name));
  const first = await inDirectory(stateDir);
  const second = await inDirectory(join(stateDir, 'embedded'));
  const foreign: string[] = [];
  for (const path of [...first, ...second]) {
    const found = await lstat(path).catch(() => null);
    if (found !== null && found.uid !== uid) foreign.push(path);
  }
  const [one] = foreign;
  if (uid === 0 || one === undefined) return [];
  return [
    warning(
      check,
      `${foreign.length === 1 ? one : `${one} and ${foreign.length - 1} more`} in the state directory ${foreign.length === 1 ? 'does' : 'do'} not belong to its owner (${uid}): a worker of that user cannot go on with ${foreign.length === 1 ? 'it' : 'them'}`,
      `stop the workers, then: sudo chown -R ${uid} ${shellWord(stateDir)}`,
    ),
  ];
}
