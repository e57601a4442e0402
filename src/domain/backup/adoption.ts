/** What a dry run of `backup adopt` finds. */
export interface AdoptionPreview {
  /** Policies under which something is to be recorded. */
  readonly policies: readonly string[];
  readonly adopt: readonly AdoptionLine[];
  readonly refused: readonly RefusedFile[];
  /** Backups that are recorded already. */
  readonly known: number;
  /** Entries beyond those named above; absent: none. */
  readonly unlisted?: number;
}

/** A history takes 2 MB in one payload: so many of a list are named. */
const NAMED = 1000;

export interface AdoptionLine {
  /** Name of the file, or the engine's own label. */
  readonly name: string;
  readonly policy: string;
  readonly database: string | null;
  readonly startedAt: string;
  readonly sizeBytes: number;
  /** Why it is only a part of its database; absent: nothing is known to be missing. */
  readonly partial?: string;
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
  /** Entries beyond those named above; absent: none. */
  readonly unlisted?: number;
  /** By whom, and why; absent: the plan was not rejected. */
  readonly rejectedBecause?: string;
}

export interface AdoptedBackup {
  readonly id: string;
  /** The file it was copied from; null where the engine had it already. */
  readonly from: string | null;
  readonly proven: boolean;
  readonly detail: string;
  /** Taken over, and listed as partial: it is only a part of its database. */
  readonly partial?: true;
}

/** Several policies' outputs as one, with so many entries as a history can hold; what failed goes first. */
export function joinAdoptions(outputs: readonly AdoptOutput[]): AdoptOutput {
  const adopted = outputs.flatMap((output) => output.adopted).toSorted((a, b) => Number(a.proven) - Number(b.proven));
  const refused = outputs.flatMap((output) => output.refused);
  const known = outputs.reduce((sum, output) => sum + output.known, 0);
  const unlisted = outputs.reduce((sum, output) => sum + (output.unlisted ?? 0), beyond(adopted) + beyond(refused));
  return {
    adopted: adopted.slice(0, NAMED),
    refused: refused.slice(0, NAMED),
    known,
    unlisted: unlisted > 0 ? unlisted : undefined,
  };
}

/** A preview with so many entries as a history can hold. */
export function boundedPreview(preview: AdoptionPreview): AdoptionPreview {
  const { adopt, refused } = preview;
  const unlisted = beyond(adopt) + beyond(refused);
  return {
    ...preview,
    adopt: adopt.slice(0, NAMED),
    refused: refused.slice(0, NAMED),
    unlisted: unlisted > 0 ? unlisted : undefined,
  };
}

const beyond = (list: readonly unknown[]): number => Math.max(0, list.length - NAMED);
