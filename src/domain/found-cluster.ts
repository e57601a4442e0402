/** A cluster of PostgreSQL as this machine shows it, before any configuration names it. */
export interface FoundCluster {
  /** As Debian calls it, else the name of its stanza. */
  readonly name: string;
  readonly port: number;
  /** Directory of its socket. */
  readonly socketDir: string;
  readonly dataDir: string;
  /** Owner of the data directory, as whom Reprise works; null where it cannot be seen. */
  readonly owner: string | null;
  /** Of Debian's cluster tools; null for one that only pgBackRest knows. */
  readonly debian: { readonly version: string; readonly name: string } | null;
  /** Databases of applications; null where no connection was possible. */
  readonly databases: readonly string[] | null;
  /** What pgBackRest calls it; null where no configuration of it was found. */
  readonly stanza: { readonly name: string; readonly config: string } | null;
}
