/** A program an engine starts, so that `doctor` can look whether it is there. */
export interface EngineTool {
  readonly program: string;
  /** One of PostgreSQL's own, of the server's major version; else found in PATH. */
  readonly ofPostgres: boolean;
  /** Option of the policy that may name another one, as in `PolicyConfig.options`. */
  readonly namedBy?: string;
  /** With what it says its version where it is not PostgreSQL's; default `version`. */
  readonly versionArgument?: string;
  /** How to get it. */
  readonly install: string;
  /** Oldest version that works, `[major, minor]`. */
  readonly oldest?: readonly [number, number];
}

/** Where an engine keeps its files, as its own configuration on this host says. */
export interface EnginePlace {
  /** Directory on this host; null where it is another machine's or an object store. */
  readonly path: string | null;
  readonly encrypted: boolean;
  /** How to have it encrypted, where it is not. */
  readonly encryptHint: string;
  /** What in that configuration works against Reprise, each with what to do. */
  readonly warnings: readonly string[];
}
