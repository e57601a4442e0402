import type { DrillOutcome } from './drill.js';

type EvidenceProblemCode =
  | 'manifest-unreadable'
  | 'not-signed'
  | 'signature-wrong'
  | 'key-wrong'
  | 'file-changed'
  | 'file-missing'
  | 'file-added'
  | 'drill-missing'
  | 'chain-broken'
  | 'chain-reordered'
  | 'sequence-twice';

export interface EvidenceProblem {
  readonly code: EvidenceProblemCode;
  /** Folder or file, below the path that was given. */
  readonly where: string;
  /** One sentence. */
  readonly text: string;
}

/** The evidence of one drill, as it was found. */
export interface CheckedDrill {
  readonly folder: string;
  readonly cluster: string;
  readonly drill: string;
  readonly sequence: number;
  readonly verdict: DrillOutcome['verdict'];
  readonly finishedAt: string;
  readonly files: number;
  /** Fingerprint of the trusted key that signed it; null: none did. */
  readonly signedBy: string | null;
}

export interface EvidenceVerification {
  readonly ok: boolean;
  /** By cluster and number. */
  readonly drills: readonly CheckedDrill[];
  readonly problems: readonly EvidenceProblem[];
  /** Clusters whose first drills were not given, with the first number that was: what came before was not checked. */
  readonly startsAt: readonly { readonly cluster: string; readonly sequence: number }[];
}
