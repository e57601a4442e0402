/** Names that other places of the file may refer to, read before anything is validated, so that one pass finds all. */
export interface KnownNames {
  readonly hosts: readonly string[];
  readonly repositories: readonly string[];
  readonly clusters: readonly string[];
  readonly contacts: readonly string[];
  /** Notifiers with their types, as far as these are text. */
  readonly notifiers: Readonly<Record<string, string>>;
}

/** Name of the host and of the repository that stand in for those the file does not name. */
export const DEFAULT_NAME = 'local';

export function knownNames(raw: unknown): KnownNames {
  return {
    hosts: keysAt(raw, 'hosts') ?? [DEFAULT_NAME],
    repositories: keysAt(raw, 'repositories') ?? [DEFAULT_NAME],
    clusters: keysAt(raw, 'clusters') ?? [],
    contacts: keysAt(raw, 'contacts') ?? [],
    notifiers: notifierTypes(raw),
  };
}

function notifierTypes(raw: unknown): Readonly<Record<string, string>> {
  const notifiers = valueAt(raw, 'notifiers');
  const types = (keysAt(raw, 'notifiers') ?? []).map(
    (name) => [name, valueAt(valueAt(notifiers, name), 'type')] as const,
  );
  // A null prototype, so that a name such as `constructor` finds nothing that the file does not hold.
  return Object.assign(
    Object.create(null) as Record<string, string>,
    Object.fromEntries(types.map(([name, type]) => [name, typeof type === 'string' ? type : ''])),
  );
}

function keysAt(raw: unknown, key: string): readonly string[] | undefined {
  const below = valueAt(raw, key);
  if (below === undefined) return undefined;
  return typeof below === 'object' && below !== null ? Object.keys(below) : [];
}

function valueAt(raw: unknown, key: string): unknown {
  return typeof raw === 'object' && raw !== null && Object.hasOwn(raw, key)
    ? (raw as Record<string, unknown>)[key]
    : undefined;
}
