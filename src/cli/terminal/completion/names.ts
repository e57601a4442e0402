import type { Config } from '../../../domain/config.js';
import { parseDuration } from '../../../domain/text/units.js';
import type { Cli } from '../../cli-context.js';

/** What a shell may be asked to complete from outside the command line itself. */
export type NameKind = 'cluster' | 'policy' | 'host' | 'target' | 'backup' | 'workflow';
export type Names = ReadonlyMap<NameKind, readonly string[]>;

/** A person waits: what does not answer in time is left out. Slow links may need more. */
const TIMEOUT = '2s';
const TIMEOUT_VARIABLE = 'REPRISE_COMPLETION_TIMEOUT';

/** Looks up the names asked for, as far as configuration and server answer in time. */
export async function namesFor(kinds: ReadonlySet<NameKind>, cli: Cli): Promise<Names> {
  const timeoutMs = parseDuration(cli.terminal.env[TIMEOUT_VARIABLE] || TIMEOUT) * 1000;
  const found = await Promise.all(
    [...kinds].map(async (kind) => [kind, (await inTime(lookups[kind](cli), timeoutMs)).filter(isTypeable)] as const),
  );
  return new Map(found);
}

const lookups: Readonly<Record<NameKind, (cli: Cli) => Promise<readonly string[]>>> = {
  cluster: async (cli) => Object.keys((await cli.config()).clusters),
  policy: async (cli) => unique(clusters(await cli.config()).flatMap(({ policies }) => Object.keys(policies))),
  host: async (cli) => Object.keys((await cli.config()).hosts),
  target: async (cli) => [
    'in-place',
    ...unique(clusters(await cli.config()).flatMap(({ recovery }) => Object.keys(recovery.targets))),
  ],
  backup: (cli) =>
    cli.withTemporal(async (session) => {
      const [{ hasPoller }, { runInspection }, { CONTROL_QUEUE }] = await Promise.all([
        import('../../../client/pollers.js'),
        import('../../../client/inspect.js'),
        import('../../../domain/operation/names.js'),
      ]);
      // Without a worker a question would stay open after us.
      if (!(await hasPoller(session, CONTROL_QUEUE, 'workflow'))) return [];
      return (await runInspection<'backups'>(session, { kind: 'backups' })).backups.map(({ id }) => id);
    }),
  workflow: (cli) =>
    cli.withTemporal(async (session) => {
      const { listRunningOperations } = await import('../../../client/running-operations.js');
      return (await listRunningOperations(session)).map(({ workflowId }) => workflowId);
    }),
};

function clusters(config: Config): readonly Config['clusters'][string][] {
  return Object.values(config.clusters);
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}

/** Names that shells would take apart, or that would take a line apart, have to be typed. */
function isTypeable(name: string): boolean {
  return /^[\p{L}\p{N}._:/@+-]+$/u.test(name);
}

async function inTime(names: Promise<readonly string[]>, timeoutMs: number): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve([]), timeoutMs);
  });
  return Promise.race([names.catch(() => []), late]).finally(() => clearTimeout(timer));
}
