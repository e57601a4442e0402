import { stat } from 'node:fs/promises';
import type { ClusterConfig, Config } from '../domain/config.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { shellWord } from '../domain/text/text.js';

/** Whoever may write the configuration decides which programs run, as the worker's user. */
export async function configFileFindings({ file, warnings }: Config): Promise<readonly Finding[]> {
  const ignored = warnings.map(({ key, place, message, hint }) =>
    warning(`config/${key}`, `${place}: ${message}`, hint),
  );
  const found = await stat(file).catch(() => null);
  if (found === null) return ignored;
  const mode = (found.mode & 0o777).toString(8);
  if ((found.mode & 0o022) !== 0)
    return [
      problem(
        'config/file',
        `${file} can be changed by other users (mode ${mode}): it names the programs that run as the worker`,
        `chmod go-w ${shellWord(file)}`,
      ),
      ...ignored,
    ];
  return [ok('config/file', `${file} can be changed by its owner only`), ...ignored];
}

/** libpq ignores a password file that others may read. */
export async function passfileFindings({ name, connection }: ClusterConfig): Promise<readonly Finding[]> {
  const { passfile } = connection;
  if (passfile === undefined) return [];
  const check = `cluster/${name}/passfile`;
  const found = await stat(passfile).catch(() => null);
  if (found === null)
    return [
      problem(
        check,
        `the password file ${passfile} does not exist, or this user may not read it`,
        `create it with the line host:port:database:user:password, then chmod 600 ${shellWord(passfile)}`,
      ),
    ];
  if ((found.mode & 0o077) !== 0)
    return [
      problem(
        check,
        `the password file ${passfile} can be read by other users, so PostgreSQL's programs ignore it`,
        `chmod 600 ${shellWord(passfile)}`,
      ),
    ];
  return [ok(check, `the password file ${passfile} is owner-only`)];
}

export async function dataDirFindings({ name, dataDir }: ClusterConfig): Promise<readonly Finding[]> {
  if (dataDir === undefined) return [];
  const check = `cluster/${name}/data_dir`;
  const found = await stat(dataDir).catch(() => null);
  if (found === null)
    return [
      warning(
        check,
        `the data directory ${dataDir} does not exist`,
        'correct data_dir; or, if it is lost: reprise incident start instance-loss --cluster ' + name,
      ),
    ];
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0 && found.uid !== uid)
    return [
      problem(
        check,
        `the data directory ${dataDir} belongs to user ${found.uid}, this runs as ${uid}: neither a physical backup nor a recovery can work`,
        'run the worker as the owner of the data directory',
      ),
    ];
  const mode = found.mode & 0o777;
  // PostgreSQL itself refuses to start with more than 0750.
  if ((mode & 0o027) !== 0)
    return [
      problem(
        check,
        `other users can read the data directory ${dataDir} (mode ${mode.toString(8)}): PostgreSQL refuses to start in it`,
        `chmod 700 ${shellWord(dataDir)}`,
      ),
    ];
  return [ok(check, `the data directory ${dataDir} exists`)];
}
