/** A storage by the settings of another tool. Holds secrets: never shown, and kept nowhere. */
export interface DescribedStorage {
  /** A kind of the storage registry. */
  readonly type: string;
  /** Keys of a repository of that type, as in reprise.yml. */
  readonly values: Readonly<Record<string, unknown>>;
  /** What `{ env: NAME }` stands for in them. */
  readonly secrets: Readonly<Record<string, string>>;
}
