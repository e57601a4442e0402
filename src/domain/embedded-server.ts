import type { Config } from './config.js';
import type { LogSettings } from './log-settings.js';

export interface UpOptions {
  readonly config: Config;
  /** The program itself: `dist/main.js`. */
  readonly mainFile: string;
  readonly dryRun: boolean;
  /** Of the worker it starts. */
  readonly log: LogSettings;
  readonly report: (line: string) => void;
}

/** Results of `reprise up` and `reprise down`: they start and stop the embedded Temporal server and its worker. */
export type UpState = 'started' | 'running' | 'restarted' | 'would-start';

export interface UpResult {
  readonly address: string;
  readonly namespace: string;
  readonly webUi: string;
  readonly temporal: { readonly pid: number | null; readonly state: UpState };
  readonly worker: { readonly pid: number | null; readonly state: UpState };
  /** Who can reach what. */
  readonly access: readonly {
    readonly what: string;
    /** Null where nobody needs it. */
    readonly address: string | null;
    readonly who: string;
  }[];
  readonly stateDir: string;
  readonly logs: readonly string[];
}

export type DownState = 'stopped' | 'not-running' | 'would-stop';

export interface DownResult {
  readonly temporal: DownState;
  readonly worker: DownState;
}
