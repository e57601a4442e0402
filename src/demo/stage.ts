import type { TemporalSession } from '../client/connect.js';
import type { Config } from '../domain/config.js';
import type { InitialContents } from './data/initial.js';
import type { DecisionOptions } from './decision.js';
import type { Narrator } from './narrator.js';
import type { Owned } from './owned.js';
import type { Scratch } from './scratch.js';

/** What a scenario finds prepared: a cluster with data and backups, and the servers. */
export interface Stage {
  readonly scratch: Scratch;
  /** What people start: the file that Node runs. */
  readonly mainFile: string;
  readonly config: Config;
  readonly session: TemporalSession;
  readonly initial: InitialContents;
  readonly owned: Owned;
  readonly narrator: Narrator;
  readonly decision: DecisionOptions;
  /** Directory of the reports that stay, made at the first call. */
  readonly reports: () => Promise<string>;
}
