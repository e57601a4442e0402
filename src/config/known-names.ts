/** Names that other places of the file may refer to, read before anything is validated, so that one pass finds all. */
export interface KnownNames {
  readonly hosts: readonly string[];
  readonly repositories: readonly string[];
  readonly contacts: readonly string[];
}

/** Name of the host and of the repository that stand in for those the file does not name. */
export const DEFAULT_NAME = 'local';

export function knownNames(raw: unknown): KnownNames {
  return {
    hosts: keysAt(raw, 'hosts') ?? [DEFAULT_NAME],
    repositories: keysAt(raw, 'repositories') ?? [DEFAULT_NAME],
    contacts: keysAt(raw, 'contacts') ?? [],
  };
}

function keysAt(raw: unknown, key: string): readonly string[] | undefined {
  const below = typeof raw === 'object' && raw !== null ? (raw as Record<string, unknown>)[key] : undefined;
  if (below === undefined) return undefined;
  return typeof below === 'object' && below !== null ? Object.keys(below) : [];
}
