import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { oneOf } from '../domain/text/text.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { removeTree } from '../files/remove-tree.js';
import { makeScratchDirectory } from '../postgres/server/scratch-directory.js';
import { type Course, openCourse } from '../postgres/wal/transactions/wal-course.js';
import type { WalArchive, WalReader } from '../postgres/wal/wal-archive.js';
import { identify, isAlive, type ProcessIdentity } from '../process/exec/process-identity.js';
import type { ActivityRun } from './activity-wrapper.js';
import { type ClusterContext, engineFor, policyOf, postgresBinOf, readContext } from './cluster-context.js';

/** All WAL of a cluster that can be read here. */
export interface ClusterWal {
  readonly policy: PolicyConfig;
  readonly reader: WalReader;
  readonly course: Course;
  /** Whether what the server has not archived yet was read too. */
  readonly hasServersOwn: boolean;
}

/**
 * Opens the WAL of a cluster for what reads it: the archive of a policy, and `pg_wal` of the server where it is on this host. What
 * is fetched lies in a directory of its own, which is removed on every way out; what a killed worker left of one, by the next
 * call.
 * @throws RepriseError `policy-missing`, `capability-missing`, `not-found`
 */
export async function withClusterWal<T>(
  clusterContext: ClusterContext,
  run: ActivityRun,
  { policy: named, timeline = null }: { readonly policy?: string; readonly timeline?: number | null },
  work: (wal: ClusterWal) => Promise<T>,
): Promise<T> {
  const { cluster, deps, host, user } = clusterContext;
  const policy = archivingPolicy(clusterContext, named);
  await makeScratchDirectory(host.scratchDir, user);
  await removeAbandoned(host.scratchDir);
  const scratch = join(host.scratchDir, `${PREFIX}${randomBytes(6).toString('hex')}`);
  await mkdir(scratch, { mode: 0o700 });
  try {
    await writeFileAtomic(join(scratch, OWNER), JSON.stringify(await identify(process.pid)));
    const context = await readContext(clusterContext, policy, run, 'wal');
    const engine = engineFor(clusterContext, policy);
    const list = async (): Promise<WalArchive> => {
      const archive = await engine.readArchive?.(context);
      if (archive === undefined) throw keepsNoWal(policy);
      return archive;
    };
    const dataDir = await readableDataDir(cluster.host === deps.host ? cluster.dataDir : undefined);
    const course = await openCourse({ archive: await list(), listAgain: list, dataDir, scratch }, timeline);
    const { major } = course.source;
    const pgBin = await (major === null ? postgresBinOf(clusterContext) : deps.postgresBin(major));
    const reader = { pgBin, user, signal: run.signal, report: run.report };
    return await work({ policy, reader, course, hasServersOwn: course.source.dataDir !== null });
  } finally {
    await removeTree(scratch);
  }
}

const PREFIX = 'waldump-';
const OWNER = 'owner.json';

/** The policy that is named, else the one whose engine archives WAL: a server archives to one place. */
function archivingPolicy(clusterContext: ClusterContext, named: string | undefined): PolicyConfig {
  if (named !== undefined) {
    const policy = policyOf(clusterContext, named);
    if (!engineFor(clusterContext, policy).capabilities.archivesWal) throw keepsNoWal(policy);
    return policy;
  }
  const { cluster } = clusterContext;
  const [policy, ...others] = Object.values(cluster.policies).filter(
    (one) => one.enabled && engineFor(clusterContext, one).capabilities.archivesWal,
  );
  if (policy === undefined)
    throw new RepriseError(
      'capability-missing',
      `no policy of cluster ${cluster.name} archives WAL`,
      'add one with the engine pgbackrest, walg or basebackup: without WAL nobody can say what happened between two backups',
    );
  if (others.length > 0)
    throw new RepriseError(
      'usage',
      `several policies of cluster ${cluster.name} archive WAL`,
      `name one: ${oneOf(
        '--policy',
        [policy, ...others].map(({ name }) => name),
      )}`,
    );
  return policy;
}

function keepsNoWal({ name, engine }: PolicyConfig): RepriseError {
  return new RepriseError(
    'capability-missing',
    `policy ${name} archives no WAL (engine ${engine})`,
    'name a policy whose engine archives WAL',
  );
}

/** Null where `pg_wal` cannot be read here. */
async function readableDataDir(dataDir: string | undefined): Promise<string | null> {
  if (dataDir === undefined) return null;
  return access(join(dataDir, 'pg_wal'), constants.R_OK).then(
    () => dataDir,
    () => null,
  );
}

/** Removes what workers left here that have ended since. */
async function removeAbandoned(scratchDir: string): Promise<void> {
  for (const name of await readdir(scratchDir)) {
    if (!name.startsWith(PREFIX)) continue;
    const text = await readFile(join(scratchDir, name, OWNER), 'utf8').catch(() => 'null');
    // One without an owner has just been made, or was cut off in that moment: it is empty.
    const owner = JSON.parse(text) as ProcessIdentity | null;
    if (owner !== null && !(await isAlive(owner))) await removeTree(join(scratchDir, name));
  }
}
