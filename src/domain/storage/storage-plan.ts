/** One setting of a storage: what it is, and what the config wants. */
export interface StorageSetting {
  /** Stable, e.g. `versioning`. */
  readonly name: string;
  /** As lines of text, so that any two can be compared line by line. */
  readonly is: readonly string[];
  readonly wanted: readonly string[];
  /**
   * `same` and `change` as the lines say; `lacking`: this server has no such thing; `fixed`: it differs, and nobody can
   * change it any more.
   */
  readonly verdict: 'same' | 'change' | 'lacking' | 'fixed';
  /** What the server said, or what to know of it. */
  readonly detail?: string;
}

/** What happens to objects with age, whoever has set it. */
export interface AgeRule {
  readonly name: string;
  /** Made by `storage apply` for this repository. */
  readonly ours: boolean;
  readonly transitions: readonly { readonly days: number; readonly storageClass: string }[];
  /** Days after which current objects are removed. */
  readonly expireDays?: number;
  readonly noncurrentTransitions: readonly { readonly days: number; readonly storageClass: string }[];
  readonly noncurrentExpireDays?: number;
  /** It changes only what begins so, below the repository's root; absent: everything. */
  readonly keysFrom?: string;
  /** Bytes: it moves only what is bigger; absent: everything. */
  readonly movesAbove?: number;
}

export interface StorageNote {
  readonly level: 'info' | 'warning';
  readonly text: string;
  /** Next step; absent where there is none. */
  readonly hint?: string;
}

/** What a storage says of itself. */
export interface StorageSurvey {
  /** Where it is, in words: `bucket asso-backups/postgres in eu-west-3`. */
  readonly place: string;
  /** False before it is made. */
  readonly there: boolean;
  readonly settings: readonly StorageSetting[];
  /** The lifecycle as it will be once the settings are as wanted. */
  readonly rules: readonly AgeRule[];
  readonly notes: readonly StorageNote[];
}

/** What came of one setting that was to change. */
export interface AppliedSetting {
  readonly name: string;
  readonly done: boolean;
  /** Why not. */
  readonly detail?: string;
}

/** Why nothing is applied: both sides of the contradiction, and what to do. */
export interface StorageRefusal {
  readonly rule: string;
  /** Policy, retention, backup or objective. */
  readonly promise: string;
  readonly text: string;
  readonly hint: string;
}

/** `storage plan`: all there is to decide on. */
export interface StoragePlan {
  readonly repository: string;
  readonly type: string;
  /** The host that looked. */
  readonly host: string;
  readonly place: string;
  /** SHA-256 (hex) of what would change: `apply` does what was shown, or nothing. */
  readonly digest: string;
  readonly settings: readonly StorageSetting[];
  readonly notes: readonly StorageNote[];
  readonly refusals: readonly StorageRefusal[];
}

/** How many settings would change. */
export function storageChanges(plan: Pick<StoragePlan, 'settings'>): readonly StorageSetting[] {
  return plan.settings.filter(({ verdict }) => verdict === 'change');
}

/** The lines of a setting as a diff: `- is`, `+ wanted`, two blanks where both agree. */
export function diffOf({ is, wanted }: Pick<StorageSetting, 'is' | 'wanted'>): string[] {
  const [before, after] = [new Set(is), new Set(wanted)];
  return [
    ...is.map((line) => `${after.has(line) ? ' ' : '-'} ${line}`),
    ...wanted.filter((line) => !before.has(line)).map((line) => `+ ${line}`),
  ];
}
