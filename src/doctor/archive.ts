import type { ClusterConfig, PolicyConfig } from '../domain/config.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { durationInWords, sizeInWords } from '../domain/text/text.js';
import { engineKinds } from '../engines/registry.js';
import type { Server } from './server.js';

/** A segment that waits for longer than this was not just being archived. */
const WAITING_SECONDS = 600;

/** Whether WAL gets where a recovery to a point in time needs it, and as fast as the objective `rpo` promises. */
export function archiveFindings(
  cluster: ClusterConfig,
  server: Server,
  commands: ReadonlyMap<string, string> = new Map(),
): readonly Finding[] {
  const archiving = Object.values(cluster.policies).filter(
    ({ enabled, engine }) => enabled && engineKinds[engine]?.capabilities.archivesWal,
  );
  const pushing = archiving.find(({ engine, options }) => engineKinds[engine]?.receives?.(options) !== true);
  if (pushing === undefined) return withoutPushingPolicy(cluster, server, archiving.length > 0);
  const failing = failingFinding(cluster, server, pushing, commands.get(pushing.name));
  if (failing !== null) return [failing];
  return [
    backlogFinding(cluster, server) ?? archivedFinding(cluster, server),
    ...timeoutFindings(cluster, server),
    ...olderCommandFindings(cluster, server),
  ];
}

/** In the command that older versions gave: the number of a process, in the name of a file that is not created exclusively. */
const OLDER_COMMAND = '/.reprise-tmp-$3.$$';

function olderCommandFindings({ name }: ClusterConfig, { archiving: { command } }: Server): readonly Finding[] {
  if (!command.includes(OLDER_COMMAND)) return [];
  return [
    warning(
      `cluster/${name}/archive_command`,
      `cluster ${name}: the archive_command is one that an older version of Reprise gave: where other users may write in the archive, links of theirs are followed`,
      `ALTER SYSTEM SET archive_command = ''; SELECT pg_reload_conf(); then \`reprise backup run ${name}\` prints the line of this version to paste. WAL is kept until then`,
    ),
  ];
}

const checkOf = ({ name }: ClusterConfig): string => `cluster/${name}/archiving`;

/** No policy wants the server's archive_command. WAL that is `received` is looked at by its slots. */
function withoutPushingPolicy(
  cluster: ClusterConfig,
  { archiving: { mode, command } }: Server,
  received: boolean,
): readonly Finding[] {
  if (received && (mode === 'off' || command !== '')) return [];
  if (mode !== 'off' && command === '')
    return [
      warning(
        checkOf(cluster),
        `cluster ${cluster.name} keeps all its WAL: archive_mode is on, archive_command is empty`,
        'set archive_command, or archive_mode=off',
      ),
    ];
  return [
    ok(checkOf(cluster), `cluster ${cluster.name}: no policy archives WAL, so there is no recovery to a point in time`),
  ];
}

/** What keeps WAL from being archived at all; null where it is archived. */
function failingFinding(
  cluster: ClusterConfig,
  server: Server,
  policy: PolicyConfig,
  wanted: string | undefined,
): Finding | null {
  const { mode, command, lastArchivedAt, lastFailed, lastFailedAt } = server.archiving;
  if (mode === 'off')
    return problem(
      checkOf(cluster),
      `cluster ${cluster.name}: policy ${policy.name} (${policy.engine}) needs WAL archiving, and archive_mode is off`,
      wanted === undefined
        ? `set archive_mode=on and the archive_command of ${policy.engine}, then restart the server`
        : `set archive_mode=on, then restart the server: ALTER SYSTEM SET archive_mode = 'on'; ${setCommand(wanted)}`,
    );
  if (command === '' || command === '(disabled)')
    return problem(
      checkOf(cluster),
      `cluster ${cluster.name}: archive_command is empty, WAL accumulates in pg_wal`,
      wanted === undefined
        ? `set the archive_command of ${policy.engine}, then reload`
        : `${setCommand(wanted)} SELECT pg_reload_conf();`,
    );
  if (lastFailed !== null && (lastFailedAt ?? '') > (lastArchivedAt ?? ''))
    return problem(
      checkOf(cluster),
      `cluster ${cluster.name}: archiving fails, last at ${lastFailedAt} on ${lastFailed}${backlogInWords(server)}`,
      'read the message of archive_command in the server log',
    );
  return null;
}

const setCommand = (command: string): string =>
  `ALTER SYSTEM SET archive_command = '${command.replaceAll("'", "''")}';`;

/** The `archive_command` of each policy whose engine knows it by the policy alone. */
export async function archiveCommands({ policies }: ClusterConfig): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const policy of Object.values(policies)) {
    const command = await engineKinds[policy.engine]?.archiveCommand?.(policy);
    if (command !== undefined) found.set(policy.name, command);
  }
  return found;
}

function archivedFinding(cluster: ClusterConfig, { archiving }: Server): Finding {
  const { lastArchived, lastArchivedAt, lastFailedAt, failedCount } = archiving;
  const failures = failedCount > 0 ? `; it failed ${failedCount} times before, last at ${lastFailedAt}` : '';
  const last = lastArchived === null ? 'nothing yet' : `${lastArchived} at ${lastArchivedAt}`;
  return ok(checkOf(cluster), `cluster ${cluster.name}: WAL is archived, last ${last}${failures}`);
}

/** Null where nothing waits for too long. */
function backlogFinding(cluster: ClusterConfig, server: Server): Finding | null {
  const { name, objectives, connection } = cluster;
  const check = checkOf(cluster);
  const { backlog } = server;
  if (backlog === null)
    return warning(
      check,
      `role ${connection.user} may not see which WAL of ${name} waits for the archive`,
      `GRANT pg_monitor TO "${connection.user.replaceAll('"', '""')}";`,
    );
  const { oldestSeconds } = backlog;
  if (oldestSeconds === null || oldestSeconds <= (objectives.rpoSeconds ?? WAITING_SECONDS)) return null;
  const message = `cluster ${name}: WAL accumulates in pg_wal${backlogInWords(server)}`;
  const fix =
    'check that the repository has free space and that archive_command ends; with pgBackRest: pgbackrest check; see the server log';
  return objectives.rpoSeconds === undefined
    ? warning(check, message, fix)
    : problem(check, `${message}, longer than the objective rpo of ${durationInWords(objectives.rpoSeconds)}`, fix);
}

function backlogInWords({ backlog }: Server): string {
  if (backlog?.oldestSeconds == null) return '';
  return `: ${backlog.segments} segment${backlog.segments === 1 ? '' : 's'} wait${backlog.segments === 1 ? 's' : ''} to be archived since ${durationInWords(backlog.oldestSeconds)}, ${sizeInWords(backlog.walBytes)} in pg_wal`;
}

/** A quiet server fills no segment: only archive_timeout bounds what a loss of its disk takes along. */
function timeoutFindings(
  { name, objectives: { rpoSeconds } }: ClusterConfig,
  { archiveTimeoutSeconds }: Server,
): readonly Finding[] {
  if (rpoSeconds === undefined || (archiveTimeoutSeconds > 0 && archiveTimeoutSeconds <= rpoSeconds)) return [];
  const now = archiveTimeoutSeconds === 0 ? 'off' : durationInWords(archiveTimeoutSeconds);
  const message = `cluster ${name}: the rpo of ${durationInWords(rpoSeconds)} is not kept on a server with few changes: archive_timeout is ${now}, and a segment is archived only when it is full`;
  return [
    warning(
      `cluster/${name}/archive_timeout`,
      message,
      `ALTER SYSTEM SET archive_timeout = '${rpoSeconds}s'; SELECT pg_reload_conf();`,
    ),
  ];
}
