import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plan } from '../../src/domain/plan/plan.js';
import { isFinal, statusOf as look } from '../../src/client/status.js';
import type { StatusView } from '../../src/client/status.js';
import type { Site } from './site.js';

/** What a command answered under `--json`. */
export interface Told<T> {
  readonly exit: number;
  readonly document: T;
  readonly error: { readonly code: string; readonly message: string; readonly hint: string } | null;
}

/** Runs a command with `--json`: stdout is one document or nothing, and so is stderr: the error. */
export async function told<T = unknown>(site: Pick<Site, 'cli'>, ...argv: readonly string[]): Promise<Told<T>> {
  const { code, stdout, stderr } = await site.cli(...argv, '--json');
  return {
    exit: code,
    document: (stdout === '' ? null : JSON.parse(stdout)) as T,
    error: code === 0 ? null : errorIn(stderr),
  };
}

/** The answer of a command that must succeed. */
export async function answer<T>(site: Pick<Site, 'cli'>, ...argv: readonly string[]): Promise<T> {
  const { exit, document, error } = await told<T & { schemaVersion: number }>(site, ...argv);
  if (exit !== 0) throw new Error(`${argv.join(' ')} exited with ${exit}: ${JSON.stringify(error)}`);
  if (document.schemaVersion !== 1) throw new Error(`${argv.join(' ')} gave no schemaVersion 1`);
  return document;
}

/** What a command that looks around found, also where what it found makes it exit with 8. */
export async function toldOfAll<T>(site: Pick<Site, 'cli'>, ...argv: readonly string[]): Promise<T> {
  const { exit, document, error } = await told<T | null>(site, ...argv);
  if (document === null) throw new Error(`${argv.join(' ')} exited with ${exit}: ${JSON.stringify(error)}`);
  return document;
}

/** Exit code, code and whether there is a next step, of a command that must fail and print no result. */
export async function refusal(
  site: Pick<Site, 'cli'>,
  ...argv: readonly string[]
): Promise<{ exit: number; code: string; message: string; hint: string }> {
  const { exit, document, error } = await told(site, ...argv);
  if (error === null) throw new Error(`${argv.join(' ')} succeeded: ${JSON.stringify(document)}`);
  if (document !== null) throw new Error(`${argv.join(' ')} printed a result and failed: ${JSON.stringify(document)}`);
  return { exit, ...error };
}

export interface Started {
  readonly workflowId: string;
  readonly plan: Plan;
}

/** `recover … --detach`: the plan waits for its approval. */
export async function planned(site: Site, ...argv: readonly string[]): Promise<Started> {
  const started = await answer<Started>(site, 'recover', site.cluster, '--detach', ...argv);
  if (started.plan === null)
    throw new Error(`no plan was made: ${JSON.stringify(await statusOf(site, started.workflowId))}`);
  return started;
}

export function approved(site: Site, { workflowId, plan }: Started, by = 'dba'): Promise<{ missing: number }> {
  return answer(site, 'approve', workflowId, '--plan', plan.digest.slice(0, 12), '--by', by, '--reason', 'test');
}

export function statusOf(site: Pick<Site, 'cli'>, workflowId: string): Promise<StatusView> {
  return answer<StatusView>(site, 'status', workflowId);
}

/** Looks in a row at work that waits for a person, before it counts as stuck: a decision just sent needs a moment. */
const STUCK_LOOKS = 600;

/** Waits until work is in a state, without a process for every look; work that ends otherwise, or is stuck, ends the waiting. */
export async function reaches(site: Site, workflowId: string, state: StatusView['state']): Promise<StatusView> {
  let stuck = 0;
  const view = await site.waitFor(async () => {
    const now = await look(site.session, workflowId, { jobs: false });
    stuck = now.state === 'paused' ? stuck + 1 : 0;
    // A last state is shown before all is cleared up: its end is waited for, unless it says what that waits for.
    const hasEnded = isFinal(now.state) && (now.finishedAt !== null || now.waitingFor !== null);
    return (hasEnded || (now.state === state && !isFinal(state)) || stuck > STUCK_LOOKS) && now;
  }, `${workflowId} is ${state}`);
  if (view.state !== state)
    throw new Error(
      `${workflowId} is ${view.state}, not ${state}: ${view.waitingFor ?? (await endOf(site, workflowId))}`,
    );
  return view;
}

function endOf(site: Site, workflowId: string): Promise<string> {
  return site.session.client.workflow
    .getHandle(workflowId)
    .result()
    .then(
      (result) => JSON.stringify(result),
      (error: Error & { cause?: { message: string; cause?: Error } }) =>
        error.cause?.cause?.message ?? error.cause?.message ?? error.message,
    );
}

/** Changes the site's reprise.yml; workers started before do not see it. */
export async function editConfig(site: Site, change: (text: string) => string): Promise<void> {
  const { configFile } = site.places;
  const before = await readFile(configFile, 'utf8');
  const after = change(before);
  if (after === before) throw new Error('the config was not changed');
  await writeFile(configFile, after);
}

/** Every file below directories with its mode and content: to see that nothing was changed. */
export async function snapshot(...roots: readonly string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const root of roots) {
    for (const name of (await readdir(root, { recursive: true }).catch(() => [] as string[])).toSorted()) {
      const path = join(root, name);
      const entry = await lstat(path).catch(() => null);
      if (entry === null) continue;
      const content = entry.isFile()
        ? createHash('sha256')
            .update(await readFile(path))
            .digest('hex')
        : '';
      found[path] = `${(entry.mode & 0o7777).toString(8)} ${content}`;
    }
  }
  return found;
}

function errorIn(stderr: string): Told<unknown>['error'] {
  const { error } = JSON.parse(stderr) as { error: NonNullable<Told<unknown>['error']> };
  for (const key of ['code', 'message', 'hint'] as const)
    if (typeof error[key] !== 'string' || error[key] === '') throw new Error(`the error has no ${key}: ${stderr}`);
  return error;
}
