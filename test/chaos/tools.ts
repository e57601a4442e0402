import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobView } from '../../src/domain/operation/progress.js';
import type { Site } from '../helpers/site.js';

/** How often each tool really began, by what the servers and pgBackRest itself wrote down. */
export interface Starts {
  readonly dump: number;
  readonly restore: number;
  readonly pgbackrestBackup: number;
  readonly pgbackrestRestore: number;
  readonly pgbackrestExpire: number;
}

export async function startsOf(site: Site): Promise<Starts> {
  const server = await text(`${site.places.dataDir}.log`);
  const began = async (command: string, but?: string): Promise<number> => {
    const lines = (await text(join(site.root, 'pgb', 'log', `main-${command}.log`))).split('\n');
    return lines.filter(
      (line) => line.includes(`${command} command begin`) && (but === undefined || !line.includes(but)),
    ).length;
  };
  return {
    // Once a run of pg_dump, before it reads anything.
    dump: count(server, /^db=mairie pid=\d+ LOG: {2}statement: SET row_security = off$/gm),
    // Once a run of pg_restore: its other connections only fill tables.
    restore: count(server, /^db=mairie_new\S+ pid=\d+ LOG: {2}statement: CREATE SCHEMA metier/gm),
    pgbackrestBackup: await began('backup'),
    pgbackrestRestore: await began('restore'),
    pgbackrestExpire: await began('expire', '--dry-run'),
  };
}

/** What the jobs of an operation say of the same. */
export function startsOfJobs(jobs: readonly JobView[]): Starts {
  const sum = (step: RegExp): number =>
    jobs.filter(({ key }) => step.test(key)).reduce((total, { starts }) => total + starts, 0);
  return {
    dump: sum(/\/dump:/),
    restore: sum(/\/restore:/),
    pgbackrestBackup: sum(/\/backup$/),
    // By the label of the backup: what pg_dump and pg_restore do beside has other names.
    pgbackrestRestore: sum(/\/restore-\d/),
    pgbackrestExpire: sum(/\/expire-/),
  };
}

export function minus(after: Starts, before: Starts): Starts {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - before[name as keyof Starts]]),
  ) as unknown as Starts;
}

const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
const count = (where: string, what: RegExp): number => [...where.matchAll(what)].length;
