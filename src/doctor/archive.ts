import type { ClusterConfig } from '../domain/config.js';
import type { Finding } from '../domain/findings.js';
import { durationInWords, sizeInWords } from '../domain/text/text.js';
import { engineOf } from '../engines/registry.js';
import { ok, warning, wrong } from './finding.js';
import type { Server } from './server.js';

/** A segment that waits for longer than this was not just being archived. */
const WAITING_SECONDS = 600;

/** Whether WAL gets where a recovery to a point in time needs it, and as fast as the objective `rpo` promises. */
export function archiveFindings(cluster: ClusterConfig, server: Server): readonly Finding[] {
  const check = `cluster/${cluster.name}/archiving`;
  const { mode, command, lastArchived, lastArchivedAt, lastFailed, lastFailedAt, failedCount } = server.archiving;
  const archiving = Object.values(cluster.policies).filter(
    ({ enabled, engine }) => enabled && engineOf(engine).capabilities.archivesWal,
  );
  const [first] = archiving.filter(({ engine, options }) => engineOf(engine).receiver?.wanted(options) !== true);
  if (first === undefined) {
    // Received instead: the slots tell how that goes.
    if (archiving.length > 0 && (mode === 'off' || command !== '')) return [];
    if (mode !== 'off' && command === '')
      return [
        warning(
          check,
          `cluster ${cluster.name} keeps all its WAL: archive_mode is on, archive_command is empty`,
          'set archive_command, or archive_mode=off',
        ),
      ];
    return [ok(check, `cluster ${cluster.name}: no policy archives WAL, so there is no recovery to a point in time`)];
  }
  if (mode === 'off')
    return [
      wrong(
        check,
        `cluster ${cluster.name}: policy ${first.name} (${first.engine}) needs WAL archiving, and archive_mode is off`,
        `set archive_mode=on and the archive_command of ${first.engine}, then restart the server`,
      ),
    ];
  if (command === '' || command === '(disabled)')
    return [
      wrong(
        check,
        `cluster ${cluster.name}: archive_command is empty, WAL piles up in pg_wal`,
        `set the archive_command of ${first.engine}, then reload`,
      ),
    ];
  if (lastFailed !== null && (lastFailedAt ?? '') > (lastArchivedAt ?? '')) {
    return [
      wrong(
        check,
        `cluster ${cluster.name}: archiving fails, last at ${lastFailedAt} on ${lastFailed}${backlogInWords(server)}`,
        "read what archive_command said: grep -a archive the server's log",
      ),
    ];
  }
  const failures = failedCount > 0 ? `; it failed ${failedCount} times before, last at ${lastFailedAt}` : '';
  const archived = ok(
    check,
    `cluster ${cluster.name}: WAL is archived, last ${lastArchived === null ? 'nothing yet' : `${lastArchived} at ${lastArchivedAt}`}${failures}`,
  );
  return [backlogFinding(cluster, server) ?? archived, ...timeoutFindings(cluster, server)];
}

/** Null where nothing waits for too long. */
function backlogFinding({ name, objectives, connection }: ClusterConfig, server: Server): Finding | null {
  const check = `cluster/${name}/archiving`;
  const { backlog } = server;
  if (backlog === null)
    return warning(
      check,
      `role ${connection.user} may not see which WAL of ${name} waits for the archive`,
      `GRANT pg_monitor TO "${connection.user.replaceAll('"', '""')}";`,
    );
  const { oldestSeconds } = backlog;
  if (oldestSeconds === null || oldestSeconds <= (objectives.rpoSeconds ?? WAITING_SECONDS)) return null;
  const message = `cluster ${name}: WAL piles up${backlogInWords(server)}`;
  const fix =
    'see that the repository has room and that archive_command ends: pgbackrest check, and the log of the server';
  return objectives.rpoSeconds === undefined
    ? warning(check, message, fix)
    : wrong(check, `${message}, longer than the promised rpo of ${durationInWords(objectives.rpoSeconds)}`, fix);
}

function backlogInWords({ backlog }: Server): string {
  if (backlog?.oldestSeconds == null) return '';
  return `: ${backlog.segments} segment${backlog.segments === 1 ? '' : 's'} wait${backlog.segments === 1 ? 's' : ''} since ${durationInWords(backlog.oldestSeconds)}, ${sizeInWords(backlog.walBytes)} in pg_wal`;
}

/** A quiet server fills no segment: only archive_timeout bounds what a loss of its disk takes along. */
function timeoutFindings(
  { name, objectives: { rpoSeconds } }: ClusterConfig,
  { archiveTimeoutSeconds }: Server,
): readonly Finding[] {
  if (rpoSeconds === undefined || (archiveTimeoutSeconds > 0 && archiveTimeoutSeconds <= rpoSeconds)) return [];
  const now = archiveTimeoutSeconds === 0 ? 'off' : durationInWords(archiveTimeoutSeconds);
  const message = `cluster ${name}: the rpo of ${durationInWords(rpoSeconds)} is not kept while little is written: archive_timeout is ${now}, and a segment is archived when it is full`;
  return [
    warning(
      `cluster/${name}/archive_timeout`,
      message,
      `ALTER SYSTEM SET archive_timeout = '${rpoSeconds}s'; SELECT pg_reload_conf();`,
    ),
  ];
}
