import { Context } from '@temporalio/activity';
import { dailyCheck } from '../../domain/backup/daily-check.js';
import { freshness, pageFindings } from '../../domain/backup/freshness.js';
import { walFindings } from '../../domain/backup/wal-findings.js';
import { isRepriseError, isRetryable } from '../../domain/errors.js';
import { type Finding, problem } from '../../domain/findings.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { HostActivities } from '../api.js';
import { claimOperation } from '../approval/own-operation.js';
import { type ClusterContext, currentBackups, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { blockedFindings } from '../sweep.js';
import { closedAsToldBy } from '../workflow-closed.js';
import { pageErrorLines } from './page-errors.js';
import { walWindows } from './wal-health.js';

/** What a daily check finds on the host of a cluster; the records say what people know already. */
export function dailyCheckActivities(deps: HostDependencies): Pick<HostActivities, 'recordDailyCheck'> {
  return {
    recordDailyCheck: wrapActivity('recordDailyCheck', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { dailyCheck: last } = await clusterContext.catalogue.state();
      if (last?.operationId === step.operationId) return last.found;
      const now = new Date(step.now);
      const wal = await walOf(clusterContext, now, run);
      const findings = [
        ...step.found,
        ...(await backupFindings(clusterContext, now, run)),
        ...wal.findings,
        ...(await blockedFindings(clusterContext, closedAsToldBy(Context.current()))),
      ];
      const found = dailyCheck(findings, last?.found.open ?? [], step.now, wal.unseen);
      if (found.open.length === 0 && found.over.length === 0) return found;
      await claimOperation(clusterContext, step);
      await record(clusterContext, step, 'daily-check', { kind: 'daily-check', found });
      return found;
    }),
  };
}

async function backupFindings(
  clusterContext: ClusterContext,
  now: Date,
  run: ActivityRun,
): Promise<readonly Finding[]> {
  const { cluster, deps } = clusterContext;
  const backups = await currentBackups(clusterContext, run);
  return [
    ...freshness(cluster, backups, deps.previousRuns, now).findings,
    ...pageFindings(cluster, backups, await pageErrorLines(clusterContext, backups)),
  ];
}

interface WalFindings {
  readonly findings: readonly Finding[];
  /** Prefixes of what could not be looked at. */
  readonly unseen: readonly string[];
}

/** What fails for good is a finding, so that it hides no missing backup; what may pass is tried again. */
async function walOf(clusterContext: ClusterContext, now: Date, run: ActivityRun): Promise<WalFindings> {
  const { cluster } = clusterContext;
  try {
    return { findings: walFindings(cluster, await walWindows(clusterContext, run), now), unseen: [] };
  } catch (error) {
    if (!isRepriseError(error) || isRetryable(error)) throw error;
    const message = `the recoverable range of ${cluster.name} cannot be determined: ${error.message}`;
    const check = `wal/${cluster.name}`;
    return { findings: [problem(check, message, error.hint ?? 'reprise doctor')], unseen: [`${check}/`] };
  }
}
