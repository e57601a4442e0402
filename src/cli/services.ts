import type { Config } from '../domain/config.js';
import type { EvidenceVerification } from '../domain/drill/evidence.js';
import type { DownResult, UpResult } from '../domain/embedded-server.js';
import type { LogSettings } from '../domain/log-settings.js';
import type { Finding } from '../domain/findings.js';
import type { FoundCluster } from '../domain/found-cluster.js';
import type { EmbeddedAddress, TemporalSettings } from '../client/connect.js';

/**
 * What the other folders of `src/` do for the command line. `src/compose.ts` passes it in, so that `cli/` imports none of
 * them, and a command loads only what it needs.
 */
export interface Services {
  readonly version: () => Promise<string>;
  readonly runWorker: (options: {
    config: Config;
    hosts: readonly string[];
    control: boolean;
    log: LogSettings;
    temporal: TemporalSettings;
  }) => Promise<void>;
  readonly up: (options: {
    config: Config;
    dryRun: boolean;
    log: LogSettings;
    report: (line: string) => void;
  }) => Promise<UpResult>;
  readonly down: (options: { config: Config; dryRun: boolean; report: (line: string) => void }) => Promise<DownResult>;
  /** The server that `reprise up` of this config has started, running or not; null where there never was one. */
  readonly embedded: (config: Config) => Promise<EmbeddedAddress | null>;
  readonly demo: (options: DemoFlags) => Promise<{ readonly result: DemoView; readonly text: string }>;
  /** Starts this program with other arguments, as a process that goes on after this one and that nobody waits for. */
  readonly startDetached: (argv: readonly string[]) => Promise<void>;
  /** psql at this terminal, by a connection string; its exit code. */
  readonly runPsql: (connection: string) => Promise<number>;
  /** Findings on this machine about one host of the config. */
  readonly inspectHost: (config: Config, host: string) => Promise<readonly Finding[]>;
  /** Verifies the evidence of drills in a folder, by the text of a public key, without any server. */
  readonly verifyEvidence: (
    path: string,
    publicKeys: string,
    how?: { readonly newest?: string | undefined },
  ) => Promise<EvidenceVerification>;
  /** Clusters of this machine, by Debian's tools and by pgbackrest.conf. */
  readonly findClusters: (pgbackrest?: string) => Promise<readonly FoundCluster[]>;
  /** Makes a directory for the owner of a data directory. */
  readonly makeDirectory: (path: string, dataDir: string) => Promise<void>;
}

export type DemoScenario = 'instance-loss' | 'table-corruption' | 'drill';
export interface DemoFlags {
  readonly scenario: DemoScenario;
  readonly keep: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  /** Where the scratch directory is made. */
  readonly dir?: string;
  readonly out: (line: string) => void;
}
/** The fields of the demonstration's result that the command line itself reads. */
export interface DemoView {
  readonly scenario: string;
  readonly recovered: boolean;
  readonly tables: readonly { readonly name: string; readonly rows: number; readonly match: boolean }[];
}
