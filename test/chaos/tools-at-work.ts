import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Site } from '../helpers/site.js';

/** A tool under way, as its pid record names it. */
export interface ToolAtWork {
  readonly pid: number;
  readonly wrapper: { readonly pid: number };
  readonly record: string;
}

/** Waits until a job's tool is in its middle: it runs, and what it works on has seen it. */
export async function inTheMiddle(
  site: Site,
  operationId: string,
  step: RegExp,
  seen: () => Promise<boolean>,
): Promise<ToolAtWork> {
  const tool = await atWork(site, operationId, step);
  await site.waitFor(seen, `the tool of ${step} has begun`);
  return tool;
}

/**
 * The same, and stops it by SIGSTOP. It is stopped while it is looked at, so that it cannot end meanwhile, however busy
 * the machine is. Throws where it had ended before.
 */
export async function caught(
  site: Site,
  operationId: string,
  step: RegExp,
  seen: () => Promise<boolean>,
): Promise<ToolAtWork> {
  const tool = await atWork(site, operationId, step);
  for (;;) {
    signal(tool, 'SIGSTOP', step);
    if (await seen()) return tool;
    signal(tool, 'SIGCONT', step);
    await sleep(10);
  }
}

function signal({ pid }: ToolAtWork, name: 'SIGSTOP' | 'SIGCONT', step: RegExp): void {
  try {
    process.kill(pid, name);
  } catch {
    throw new Error(`the tool of ${step} was too fast to be caught`);
  }
}

/** Waits until the first tool of a job runs. */
export async function atWork(site: Site, operationId: string, step: RegExp): Promise<ToolAtWork> {
  const jobs = join(site.places.stateDir, 'jobs');
  for (const limit = Date.now() + 600_000; Date.now() < limit; await sleep(2)) {
    for (const operation of await readdir(jobs).catch(() => [] as string[])) {
      for (const name of await readdir(join(jobs, operation)).catch(() => [] as string[])) {
        const record = join(jobs, operation, name, '1', 'pid.json');
        const content = await readFile(record, 'utf8').catch(() => '');
        if (content === '') continue;
        const found = JSON.parse(content) as { key: string; pid: number; wrapper: { pid: number } };
        if (found.key.startsWith(operationId) && step.test(found.key))
          return { pid: found.pid, wrapper: found.wrapper, record };
      }
    }
  }
  throw new Error(`no tool of ${step} was started`);
}

/** Makes a pid record one of another boot: after a restart of the machine its pid says nothing (F2). */
export async function ofAnotherBoot(tool: ToolAtWork): Promise<void> {
  const record = JSON.parse(await readFile(tool.record, 'utf8')) as Record<string, unknown>;
  await writeFile(tool.record, JSON.stringify({ ...record, bootId: '00000000-0000-4000-8000-000000000000' }));
}

/** While a table is locked, pg_dump waits for it. Returns how to let it go. */
export async function lockTable(site: Site, table: string): Promise<() => Promise<void>> {
  const { host, port, user } = site.server;
  const client = new pg.Client({ host, port, user, database: 'mairie' });
  // The server may be killed under it.
  client.on('error', () => undefined);
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return () => client.end().catch(() => undefined);
}

/** While WAL is not archived, a pgBackRest backup waits for its last segment. Returns how to let it go. */
export async function holdArchive(site: Site): Promise<() => Promise<void>> {
  await writeFile(site.places.holdArchive, '');
  return () => rm(site.places.holdArchive, { force: true });
}
