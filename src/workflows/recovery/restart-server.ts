import { failed, type Recovered } from './recover-data-directory.js';
import type { Runbook } from './runbook.js';
import { refusal } from '../operation/operation-status.js';

/** The cheap thing first: the data directory is whole, so the server is started and nothing is replaced. */
export async function restartServer(book: Runbook): Promise<Recovered> {
  const { step } = book;
  const reached = await book.do('start the server', (host, step) => host.startServer(step));
  const checks = await book.do('run checks', (host, step) => host.runChecks({ ...step, method: 'restart' }));
  const wrong = failed(checks);
  if (wrong.length > 0) {
    throw refusal(
      'check-failed',
      `the server runs but ${wrong.map((check) => `${check.name}: ${check.detail}`).join('; ')}`,
      `restore instead: reprise recover ${step.cluster}`,
    );
  }
  const validated = book.validated();
  await book.hook('start-applications');
  return { reached, checks, ...validated };
}
