import type { CheckResult, ReachedTarget } from '../../activities/api.js';
import { stepsThatMoveData } from '../../domain/plan/residual-state.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { Runbook } from './runbook.js';

export interface Recovered {
  readonly reached: ReachedTarget;
  readonly checks: readonly CheckResult[];
  /** When the recovered server was validated and open for writes, ms since the epoch. */
  readonly validatedAt: number;
  /** Seconds of waiting for people up to then, since the approval. */
  readonly waitedSeconds: number;
}

/** A physical backup into a data directory: keep the old one, replay, look, promote, arm the archive again (K2, S4). */
export async function recoverDataDirectory(book: Runbook): Promise<Recovered> {
  const { plan } = book;
  const inPlace = plan.binding.into === 'in-place';

  await book.hook('stop-applications');
  if (inPlace) await book.do('stop the old server', (host, step) => host.stopServer(step));
  if (inPlace) await book.do('salvage WAL that was not archived', (host, step) => host.salvageWal(step));
  await book.do(stepsThatMoveData.aside, (host, step) => host.putAside(step));
  await book.do('restore files', (host, step) => host.restoreFiles(step));

  // Media go to one instant: with them, another target is another plan.
  const mayRetarget = plan.binding.media === undefined;
  let target: RecoveryTarget = plan.binding.target;
  const replay = () =>
    book.do(
      'replay WAL',
      (host, step) => host.replayWal({ ...step, target }),
      mayRetarget ? (to) => (target = to) : undefined,
    );
  const look = () => book.do('run checks', (host, step) => host.runChecks({ ...step, method: 'data-directory' }));
  let reached = await replay();
  await book.media();
  let checks = await look();

  while (book.plan.binding.pause || book.desk.pauseAsked || failed(checks).length > 0) {
    const decision = await atTarget(book, reached, checks);
    if (decision === 'promote') break;
    target = decision.target;
    reached = await replay();
    checks = await look();
  }

  const { timeline, repaired } = await book.do(stepsThatMoveData.promote, (host, step) => host.promoteServer(step));
  if (repaired.length > 0)
    await book.note('promote', `collation versions differ on this host; rebuilt: ${repaired.slice(0, 20).join(', ')}`);
  await book.note('promote', `open for writes on timeline ${timeline}`);
  const validated = book.validated();
  if (inPlace) {
    await book.do('arm archiving again', (host, step) => host.rearmArchiving(step));
    await book.do('take and verify a fresh backup', (host, step, startedAt) =>
      host.freshBackup({ ...step, startedAt }),
    );
  }
  await book.hook('start-applications');
  return { reached, checks, ...validated };
}

async function atTarget(
  book: Runbook,
  reached: ReachedTarget,
  checks: readonly CheckResult[],
): Promise<'promote' | { target: RecoveryTarget }> {
  const { work, desk, step } = book;
  const wrong = failed(checks);
  const seen =
    wrong.length > 0
      ? `checks failed: ${wrong.map((check) => `${check.name} (${check.detail})`).join('; ')}`
      : 'paused as asked';
  // With media the host refuses it, and says what to do instead.
  const retarget = book.plan.binding.media ? '' : `, \`reprise retarget ${step.workflowId} --to TIME --reason ...\``;
  const waitingFor = `a look at the recovered data (read-only) at ${reached.reached}; ${seen}. Then \`reprise promote ${step.workflowId} --reason ...\`${retarget}, or \`reprise reject ${step.workflowId} --reason ...\``;
  work.show('paused', waitingFor);
  const decision = await book.asking({ kind: 'paused', event: 'waiting-approval', waitingFor }, () =>
    desk.atTarget('look at the data, then promote, retarget or reject', ['promote', 'retarget']),
  );
  if (decision === 'rejected') throw book.givenUp('run checks');
  work.show('running');
  return decision.kind === 'promote' ? 'promote' : decision;
}

export function failed(checks: readonly CheckResult[]): readonly CheckResult[] {
  return checks.filter((check) => check.status === 'failed');
}
