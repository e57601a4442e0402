import { stepsThatMoveData } from '../../domain/plan/residual-state.js';
import { failed, type Recovered } from './recover-data-directory.js';
import type { Runbook } from './runbook.js';

/** Dumps restored beside the live databases, looked at, then swapped by rename (K1's order: stop, save, restore, check). */
export async function recoverDatabases(book: Runbook): Promise<Recovered> {
  const { reached, checks } = await book.untilTouched(() => restoredBeside(book));

  await book.do(stepsThatMoveData.swap, (host, step) => host.swapDatabases(step));
  const validated = book.validated();
  await book.do('take and verify a fresh backup', (host, step, startedAt) => host.freshBackup({ ...step, startedAt }));
  await book.hook('start-applications');
  return { reached, checks, ...validated };
}

/** Everything before the live databases are touched. */
async function restoredBeside(book: Runbook): Promise<Pick<Recovered, 'reached' | 'checks'>> {
  const { plan, step, work, desk } = book;

  await book.hook('stop-applications');
  if (plan.binding.steps.includes('safety-backup')) {
    const saved = await book.do('safety backup of what is there', (host, step, startedAt) =>
      host.safetyBackup({ ...step, startedAt }),
    );
    await book.note('safety backup', saved);
  }
  const reached = await book.do('restore beside the live databases', (host, step) => host.restoreDatabases(step));
  await book.media();
  const checks = await book.do('run checks', (host, step) => host.runChecks({ ...step, method: 'databases' }));

  const wrong = failed(checks);
  if (plan.binding.pause || desk.pauseAsked || wrong.length > 0) {
    const seen = wrong.length > 0 ? `checks failed: ${wrong.map((check) => check.name).join(', ')}` : 'paused as asked';
    const waitingFor = `a look at the restored databases, still beside the live ones; ${seen}. Then \`reprise promote ${step.workflowId} --reason ...\` swaps them in, \`reprise reject ${step.workflowId} --reason ...\` leaves the live ones`;
    work.show('paused', waitingFor);
    const decision = await book.asking({ kind: 'paused', event: 'waiting-approval', waitingFor }, () =>
      desk.atTarget('look at the restored databases, then promote or reject', ['promote']),
    );
    if (decision === 'rejected') throw book.givenUp('run checks');
    work.show('running');
  }
  return { reached, checks };
}
