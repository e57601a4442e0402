import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ConnectionConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { giveTo } from '../files/directories.js';
import { findPostgresBin } from '../process/exec/find-programs.js';
import type { OsUser } from '../process/jobs/jobs.js';
import { freePorts } from '../process/exec/ports.js';
import { runProgram } from '../process/exec/run-program.js';
import { jobUser } from '../process/exec/users.js';
import { CLIENT_ROLE } from './data/schema.js';

/** Everything the demo owns is below `root`; nothing else of the machine is touched. */
export interface Scratch {
  readonly root: string;
  /** Owner of PostgreSQL's files: `postgres` where we are root, else null = ourselves. */
  readonly user: OsUser | null;
  readonly pgBin: string;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly stateDir: string;
  readonly configFile: string;
  readonly pgbackrestConf: string;
  readonly stanza: string;
  /** Superuser `reprise`, as Reprise itself connects. */
  readonly connection: ConnectionConfig;
  /** The business client's role, with a password file of its own. */
  readonly client: ConnectionConfig;
  readonly clientLog: string;
  /** Where a drill restores to. */
  readonly staging: { readonly dataDir: string; readonly port: number };
  readonly temporal: { readonly port: number; readonly uiPort: number };
  /** Passwords made for this run; they are in password files only. */
  readonly passwords: { readonly reprise: string; readonly client: string };
}

/** A Unix socket's path holds 107 bytes, and `.s.PGSQL.65535.lock` has to fit behind the directory. */
const LONGEST_ROOT = 80;
const RELEVANT_MAJOR = 15;

/** Makes the directory (below the system's temporary one, or the one given) and chooses free ports. */
export async function makeScratch(parent?: string): Promise<Scratch> {
  const user = await jobUser();
  const base = resolve(parent ?? tmpdir());
  await mkdir(base, { recursive: true });
  const root = await mkdtemp(join(base, 'reprise-demo-'));
  if (Buffer.byteLength(root) > LONGEST_ROOT) {
    await rmdir(root);
    throw new RepriseError(
      'usage',
      `the path ${root} is too long for a Unix socket`,
      'give a shorter directory with --dir',
    );
  }
  await giveTo(root, user);
  await needAccess(root, user);
  const [port, stagingPort, temporalPort, uiPort] = (await freePorts(4)) as [number, number, number, number];
  const passwords = { reprise: randomBytes(18).toString('hex'), client: randomBytes(18).toString('hex') };
  const connect = async (role: string, password: string): Promise<ConnectionConfig> => {
    const passfile = join(root, `${role}.pgpass`);
    // What is restored has the roles and passwords of the source.
    const lines = [port, stagingPort].map((each) => `*:${each}:*:${role}:${password}\n`);
    await writeFile(passfile, lines.join(''), { mode: 0o600, flag: 'wx' });
    await giveTo(passfile, user);
    return { host: '127.0.0.1', port, user: role, passfile, maintenanceDatabase: 'postgres' };
  };
  return {
    root,
    user,
    pgBin: await findPostgresBin(RELEVANT_MAJOR).catch(() => findPostgresBin()),
    dataDir: join(root, 'pgdata'),
    socketDir: root,
    stateDir: join(root, 'state'),
    configFile: join(root, 'reprise.yml'),
    pgbackrestConf: join(root, 'pgbackrest.conf'),
    stanza: 'mairie',
    connection: await connect('reprise', passwords.reprise),
    client: await connect(CLIENT_ROLE, passwords.client),
    clientLog: join(root, 'business.jsonl'),
    staging: { dataDir: join(root, 'staging'), port: stagingPort },
    temporal: { port: temporalPort, uiPort },
    passwords,
  };
}

/** As root the server's user has to pass through every directory above. */
async function needAccess(root: string, user: OsUser | null): Promise<void> {
  const { exitCode } = await runProgram(['test', '-w', root], { user, acceptCodes: [0, 1] });
  if (exitCode === 0) return;
  await rmdir(root);
  throw new RepriseError(
    'usage',
    `the user ${user?.name ?? 'of this process'} cannot write below ${root}`,
    'give another directory with --dir, or let that user pass (chmod o+x)',
  );
}
