import { stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import type { Config, HostConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { sizeInWords } from '../domain/text/text.js';
import { freeBytes } from '../postgres/server/disk.js';
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

async function stateFindings({ name, stateDir }: HostConfig): Promise<readonly Finding[]> {
  const check = `host/${name}/state_dir`;
  const found = await stat(stateDir).catch(() => null);
  if (found === null) return [ok(check, `the state directory ${stateDir} is created by the first worker`)];
  if (!found.isDirectory())
    return [problem(check, `${stateDir} is no directory`, 'correct state_dir of the host, or move the file away')];
  const findings: Finding[] = [];
  const uid = process.getuid?.() ?? found.uid;
  if (uid !== 0 && found.uid !== uid)
    findings.push(
      problem(
        check,
        `the state directory ${stateDir} belongs to user ${found.uid}, not to this one (${uid})`,
        `run as its owner, or: chown ${uid} ${stateDir}`,
      ),
    );
  if ((found.mode & 0o077) !== 0)
    findings.push(
      problem(
        check,
        `the state directory ${stateDir} can be read by other users (mode ${(found.mode & 0o777).toString(8)}): it holds plans and approvals`,
        `chmod 700 ${stateDir}`,
      ),
    );
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
