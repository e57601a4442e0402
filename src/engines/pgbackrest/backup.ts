import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { RepriseError } from '../../domain/errors.js';
import { countDatabases } from '../../postgres/content/inventory.js';
import { recordClusterObjects } from '../../postgres/content/read-objects.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import type { BackupRequest, EngineContext, MadeBackup } from '../engine.js';
import { sha256OfFile } from '../shared/hash.js';
import { damagedPages, LONGEST_NAME, MOST_FILES } from '../shared/page-errors.js';
import { ownership, unlessLost } from '../shared/backup-record.js';
import { KEEP_ALL, optionsOf, pgbackrestArgv } from './command.js';
import type { StanzaBackup } from './info.js';
import { ANNOTATION, listed, readInfo, readTablespaces } from './info.js';
import { runPgbackrestJob } from './job.js';
import { ensureStanza, requireSameCluster } from './stanza.js';
import { liveFacts } from '../shared/live-server.js';
import { chooseType } from './backup-type.js';

/**
 * One backup of the cluster, complete and with its stop WAL archived. It carries the operation's id, so that a
 * later attempt of the operation finds it finished instead of making another; what a killed pgBackRest left is
 * resumed by pgBackRest itself and is in nobody's list until then.
 */
export async function backup(context: EngineContext, request: BackupRequest): Promise<readonly MadeBackup[]> {
  const server = await liveFacts(context);
  const made = (await ownBackup(context)) ?? (await makeBackup(context, request, server));
  // pgBackRest can write a manifest that it cannot read again, and then ends with 0.
  await readTablespaces(context, made.label);
  const manifest = await readManifestFile(context, made.label);
  const pages = made.error ? await damagedPagesIn(manifest) : [];
  if (made.error && optionsOf(context).pageErrors !== 'accept') throw damagedPages(made.label, pages);
  const { connection, databases } = context.cluster;
  const contents = await countDatabases(connection, databases, context.signal);
  return [
    {
      ...ownership(context, made.label),
      ...listed(made, optionsOf(context)),
      ...(pages.length === 0 ? {} : { pageErrors: pages }),
      sha256: await sha256OfFile(manifest),
      server: {
        versionNum: server.versionNum,
        systemIdentifier: made.database.systemIdentifier,
        dataChecksums: server.dataChecksums,
      },
      contents,
      objects: await recordClusterObjects(connection, databases, context.signal),
    },
  ];
}

async function makeBackup(
  context: EngineContext,
  request: BackupRequest,
  server: LiveServerFacts,
): Promise<StanzaBackup> {
  const info = await ensureStanza(context, server);
  requireSameCluster(info, optionsOf(context).stanza, server);
  const { fullEverySeconds, diffEverySeconds, archiveTimeoutSeconds } = optionsOf(context);
  const ofThisCluster = info.backups.filter(({ database }) => database.systemIdentifier === server.systemIdentifier);
  const type =
    request.type === 'auto'
      ? chooseType({
          backups: ofThisCluster,
          fullEverySeconds,
          diffEverySeconds,
          startedAt: request.startedAt,
        })
      : request.type;
  await runPgbackrestJob(context, {
    step: 'backup',
    command: 'backup',
    versionNum: server.versionNum,
    options: [
      ...['--repo=1', `--type=${type}`, '--start-fast', '--no-expire-auto', `--repo1-retention-full=${KEEP_ALL}`],
      ...[`--archive-timeout=${archiveTimeoutSeconds}`, `--annotation=${ANNOTATION}=${context.operationId}`],
    ],
    resultIsThere: async () => (await ownBackup(context)) !== undefined,
  });
  const made = await ownBackup(context);
  if (made === undefined) {
    throw new RepriseError(
      'tool-failed',
      'pgbackrest backup succeeded, but the repository does not list the backup',
      'was it expired by another pgbackrest (cron)? then run the backup again as a new operation',
    );
  }
  return made;
}

/** The finished backup of this operation. */
async function ownBackup(context: EngineContext): Promise<StanzaBackup | undefined> {
  return (await readInfo(context)).backups.findLast(({ operationId }) => operationId === context.operationId);
}

/** SHA-256 (hex) of a backup's manifest, which names every file with its checksum, for the record of the backup. */
export async function manifestHash(context: EngineContext, label: string): Promise<string> {
  return sha256OfFile(await readManifestFile(context, label));
}

/** A backup's manifest, in a file of the operation. */
async function readManifestFile(context: EngineContext, label: string): Promise<string> {
  const path = `backup/${optionsOf(context).stanza}/${label}/backup.manifest`;
  // As a job for its files: with a million files in the cluster a manifest has hundreds of megabytes.
  const job = await context.jobs.run({
    step: `manifest-${label}`,
    tool: 'pgbackrest',
    argv: pgbackrestArgv(context, 'repo-get', ['--repo=1'], [path]),
    user: context.user ?? 'inherit',
    onGone: 'restart',
  });
  return job.stdout;
}

/** Files and pages whose checksums were wrong when they were read, as the manifest names them: `base/5/16388 page 0`. */
async function damagedPagesIn(manifest: string): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const line of createInterface({ input: createReadStream(manifest, 'utf8') })) {
    if (!line.includes('"checksum-page-error"')) continue;
    const file = line.slice(0, line.indexOf('={')).replace(/^pg_data\//, '');
    const pages = /"checksum-page-error":(\[[\d,[\]]*\])/.exec(line)?.[1] ?? '[]';
    // `[0,[5,7]]`: page 0, and 5 to 7.
    const ranges = z.array(z.union([z.int(), z.array(z.int())])).parse(JSON.parse(pages));
    const named = ranges.map((range) => (typeof range === 'number' ? String(range) : range.join('-')));
    found.push(`${file} page ${named.join(', ')}`.slice(0, LONGEST_NAME));
    if (found.length >= MOST_FILES) break;
  }
  return found;
}

/**
 * The record of a backup that somebody else's pgBackRest (cron) made: its rows were never counted.
 * @throws RepriseError `identity-mismatch` where it is another cluster's, `not-found`
 */
export async function describeBackup(context: EngineContext, label: string): Promise<MadeBackup> {
  const made = (await readInfo(context)).backups.find((backup) => backup.label === label);
  if (made === undefined)
    throw new RepriseError('not-found', `backup ${label} is no longer in the repository`, 'run: pgbackrest info');
  const { database } = made;
  const live = await unlessLost(liveFacts(context));
  if (live !== null && live.systemIdentifier !== database.systemIdentifier) {
    throw new RepriseError(
      'identity-mismatch',
      `it is a backup of the cluster ${database.systemIdentifier}, and the server is ${live.systemIdentifier}`,
      'give that cluster a separate policy',
    );
  }
  return {
    ...ownership(context, label),
    ...listed(made, optionsOf(context)),
    sha256: await manifestHash(context, label),
    server: { versionNum: database.major * 10_000, systemIdentifier: database.systemIdentifier },
  };
}
