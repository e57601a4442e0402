import { RepriseError } from '../../domain/errors.js';
import type { OsUser } from '../../process/jobs/jobs.js';

export type StopMode = 'fast' | 'immediate';

/** How one kind of service is told to start and stop; that it did is found out by {@link Service}. */
export interface ServiceKind {
  /** File the server's first words go to. */
  readonly logFile: string;
  /** Returns when the server is ready, or at the latest when it is on its way. */
  start(settings: Readonly<Record<string, string>>, timeoutSeconds: number): Promise<void>;
  /** Returns when the server was told; that it is gone is waited for by {@link Service}. */
  stop(mode: StopMode, timeoutSeconds: number): Promise<void>;
}

/** What a kind of service is made from. */
export interface ServicePlace {
  readonly dataDir: string;
  readonly pgBin: string;
  readonly user: OsUser | null;
  readonly logFile?: string;
}

/** Settings for the server's command line; each `-c` is quoted for the shell that pg_ctl starts. */
export function serverOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => {
      if (!/^[a-z_][a-z0-9_.]*$/i.test(name))
        throw new RepriseError('internal', `'${name}' is no setting`, 'Correct the name.');
      return `-c '${name}=${value.replaceAll("'", `'\\''`)}'`;
    })
    .join(' ');
}
