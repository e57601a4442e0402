import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { Config } from '../domain/config.js';
import type { UpOptions, UpResult } from '../domain/embedded-server.js';
import { type ErrorCode, RepriseError } from '../domain/errors.js';
import { giveTree } from '../files/give-tree.js';
import { makeOwnDirectory } from '../files/trusted-paths.js';
import { runProgram } from '../process/exec/run-program.js';
import { userOf } from '../process/exec/users.js';
import type { OsUser } from '../process/jobs/jobs.js';
import { shellWord } from '../domain/text/text.js';

/** A server and a worker start within it, also on a slow machine. */
const UP_MS = 300_000;
const EVERY_CODE = Array.from({ length: 256 }, (_, code) => code);

/**
 * Whom root becomes for `up`: the owner of all data directories, so that the state, the server and the worker are that
 * user's. Null where we are not root, where nobody or root owns them, or where that user cannot run this program.
 * @throws RepriseError `privilege-missing` where that user may not use what the config names
 */
export async function userToBecome({ config, mainFile, report }: UpOptions): Promise<OsUser | null> {
  if (process.getuid?.() !== 0) return null;
  const user = await ownerOfData(config);
  if (user === null) return null;
  if (!(await succeeds(user, [process.execPath, mainFile, 'version']))) {
    report(`runs as root: ${user.name}, the owner of the data directory, cannot run ${mainFile}`);
    return null;
  }
  await assertUsable(config, user);
  return user;
}

/** The one owner of the data directories of this machine; null where there are several, or none but root. */
async function ownerOfData({ clusters }: Config): Promise<OsUser | null> {
  const found = await Promise.all(
    Object.values(clusters).flatMap(({ dataDir }) => (dataDir === undefined ? [] : [stat(dataDir).catch(() => null)])),
  );
  const owners = new Map(found.flatMap((one) => (one === null ? [] : [[one.uid, one] as const])));
  const [owner] = owners.values();
  return owner === undefined || owners.size > 1 || owner.uid === 0 ? null : userOf(owner);
}

async function assertUsable(config: Config, user: OsUser): Promise<void> {
  const passfiles = Object.values(config.clusters).flatMap(({ connection: { passfile } }) => passfile ?? []);
  for (const file of new Set([config.file, ...passfiles]))
    if (!(await succeeds(user, ['test', '-r', file])))
      throw refused(
        `${file} cannot be read by ${user.name}`,
        config,
        user,
        `let ${user.name} read it and the folders above`,
      );
  for (const file of filesOf(config))
    if ((await stat(file).catch(() => null))?.isFile() && !(await succeeds(user, ['test', '-r', file])))
      throw refused(
        `${file}, which the configuration names, cannot be read by ${user.name}`,
        config,
        user,
        `let ${user.name} read it and the folders above, e.g. chown ${shellWord(user.name)}: ${shellWord(file)}`,
      );
  const directories = Object.values(config.repositories).flatMap(({ type, options }) =>
    type === 'directory' && typeof options['path'] === 'string' ? [options['path']] : [],
  );
  for (const path of directories) {
    const exists = (await stat(path).catch(() => null)) !== null;
    if (await succeeds(user, ['sh', '-c', exists ? 'test -w "$1" -a -x "$1"' : NEAREST, 'sh', path])) continue;
    throw refused(
      `the repository ${path} ${exists ? 'may not be written' : 'cannot be made'} by ${user.name}`,
      config,
      user,
      exists
        ? `chown -R ${shellWord(user.name)}: ${shellWord(path)}`
        : `install -d -m 0700 -o ${shellWord(user.name)} ${shellWord(path)}`,
    );
  }
}

/** Keys whose values are files that the worker, or a tool that it starts, reads. */
const FILE_KEYS = new Set(['file', 'rootCert', 'cert', 'key', 'caFile', 'envFile', 'config']);

/** Secrets by file, certificates and keys, settings of tools. One that is not there is for `doctor` to say. */
function filesOf({ clusters, repositories, notifiers }: Config): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, below] of Object.entries(value)) {
      if (typeof below !== 'string') visit(below);
      else if (FILE_KEYS.has(key) && isAbsolute(below)) found.add(below);
    }
  };
  visit([clusters, repositories, notifiers]);
  return found;
}

/** Whether what is missing can be made: in the nearest directory that is there. */
const NEAREST = 'at=$1; while [ ! -e "$at" ]; do at=$(dirname "$at"); done; test -w "$at" -a -x "$at"';

function refused(what: string, { file }: Config, user: OsUser, fix: string): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `\`up\` runs as ${user.name}, the owner of the data directory, and ${what}`,
    `${fix}; then: sudo -u ${shellWord(user.name)} reprise up --config ${shellWord(file)}`,
  );
}

async function succeeds(user: OsUser, argv: readonly string[]): Promise<boolean> {
  return runProgram(argv, { user }).then(
    () => true,
    () => false,
  );
}

/** Runs `up` as that user; what an earlier `up` or worker of root left in the state directory is that user's from now on. */
export async function upAs(user: OsUser, options: UpOptions, directory: string): Promise<UpResult> {
  const { config, mainFile, log, report } = options;
  for (const { stateDir } of Object.values(config.hosts)) await giveState(stateDir, config, user);
  await makeOwnDirectory(directory, user);
  report(`runs as ${user.name}, the owner of the data directory`);
  const argv = [
    ...[process.execPath, mainFile, '--config', config.file, '--json', 'up'],
    ...['--log-level', log.level, '--log-format', log.format],
  ];
  const { HOME: _home, USER: _user, LOGNAME: _logname, ...environment } = process.env;
  const env = Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const { stdout, stderr, exitCode } = await runProgram(argv, {
    user,
    env,
    timeoutMs: UP_MS,
    acceptCodes: EVERY_CODE,
  });
  const lines = stderr.split('\n').filter((line) => line !== '');
  const failure = lines.find((line) => line.startsWith('{"error":'));
  for (const line of lines) if (line !== failure) report(line);
  if (exitCode !== 0) throw failureOf(failure, `\`reprise up\` as ${user.name} ended with exit ${exitCode}`);
  return JSON.parse(stdout) as UpResult;
}

function failureOf(line: string | undefined, otherwise: string): RepriseError {
  if (line === undefined) return new RepriseError('internal', otherwise);
  const { error } = JSON.parse(line) as { error: { code: ErrorCode; message: string; hint: string } };
  return new RepriseError(error.code, error.message, error.hint);
}

async function giveState(stateDir: string, config: Config, user: OsUser): Promise<void> {
  await makeOwnDirectory(stateDir, user);
  // Of a directory that is not all ours, such as /var/lib, nothing is given away.
  if ((await stat(stateDir)).uid !== user.uid)
    throw refused(
      `the state directory ${stateDir} belongs to another user`,
      config,
      user,
      `chown ${shellWord(user.name)}: ${shellWord(stateDir)}`,
    );
  await giveTree(stateDir, user);
}
