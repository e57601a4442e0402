/** What a dry run of `backup adopt` finds. */
export interface AdoptionPreview {
  /** Policies under which something is to be recorded. */
  readonly policies: readonly string[];
  readonly adopt: readonly AdoptionLine[];
  readonly refused: readonly RefusedFile[];
  /** Backups that are recorded already. */
  readonly known: number;
}

export interface AdoptionLine {
  /** Name of the file, or the engine's own label. */
  readonly name: string;
  readonly policy: string;
  readonly database: string | null;
  readonly startedAt: string;
  readonly sizeBytes: number;
}

export interface RefusedFile {
  readonly name: string;
  readonly reason: string;
}

/** What `backup adopt` did. */
export interface AdoptOutput {
  readonly adopted: readonly AdoptedBackup[];
  readonly refused: readonly RefusedFile[];
  readonly known: number;
}

export interface AdoptedBackup {
  readonly id: string;
  /** The file it was copied from; null where the engine had it already. */
  readonly from: string | null;
  readonly proven: boolean;
  readonly detail: string;
}

/** Several policies' outputs as one. */
export function joinAdoptions(outputs: readonly AdoptOutput[]): AdoptOutput {
  return {
    adopted: outputs.flatMap(({ adopted }) => adopted),
    refused: outputs.flatMap(({ refused }) => refused),
    known: outputs.reduce((sum, { known }) => sum + known, 0),
  };
}
