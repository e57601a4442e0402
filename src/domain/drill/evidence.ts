import { visible } from '../text/text.js';
import type { DrillOutcome, SealedEvidence } from './drill.js';

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
  /** Drills that the records beside the evidence name; null: there are no records, and nothing but `newest` says which drill is the last. */
  readonly recorded: number | null;
}

/** Evidence that something else tells of, and that is missing or another one. */
export interface LostEvidence {
  /** Null: only its number is known. */
  readonly drill: string | null;
  readonly code: Extract<EvidenceProblemCode, 'drill-missing' | 'chain-broken'>;
  /** One sentence. */
  readonly text: string;
}

/** What took a number of a cluster's chain. */
interface Sealed {
  readonly sequence: number;
  /** Null: it cannot be read. */
  readonly drill: string | null;
  /** Hex, of its manifest. */
  readonly sha256: string;
  /** The folder of its drill is there too. */
  readonly isThere: boolean;
}

/**
 * What is missing of the drills of one cluster: those that its records name, whatever number they have, and numbers that were left out. A
 * chain alone shows no drill that is missing after its last one; the records do.
 */
export function compareRecorded(
  recorded: readonly ({ readonly drill: string } & Pick<SealedEvidence, 'sha256' | 'sequence'>)[],
  sealed: readonly Sealed[],
): readonly LostEvidence[] {
  const lost: LostEvidence[] = [];
  const named = new Set<number>();
  for (const { drill, sha256, sequence } of recorded) {
    const own = sealed.find((one) => one.drill === drill);
    const which = `drill ${visible(drill)}${sequence === undefined ? '' : `, number ${sequence},`}`;
    if (sequence !== undefined) named.add(sequence);
    if (own === undefined)
      lost.push({ drill, code: 'drill-missing', text: `the records name ${which} and its evidence is missing` });
    else if (own.sha256 !== sha256)
      lost.push({
        ...{ drill, code: 'chain-broken' },
        text: `the manifest of ${which} is not the one that the records name, ${sha256.slice(0, 16)}…`,
      });
  }
  for (const { drill, sequence, isThere } of sealed)
    if (!isThere)
      lost.push({
        ...{ drill, code: 'drill-missing' },
        text: `${drill === null ? 'a drill' : `drill ${visible(drill)}`} took number ${sequence}, and its folder is missing`,
      });
  const last = Math.max(0, ...sealed.map(({ sequence }) => sequence));
  const taken = new Set(sealed.map(({ sequence }) => sequence));
  for (let sequence = 1, told = 0; sequence < last && told < MOST_TOLD; sequence++)
    if (!taken.has(sequence) && !named.has(sequence)) {
      told += 1;
      lost.push({ drill: null, code: 'drill-missing', text: `number ${sequence} of the chain is missing` });
    }
  return lost;
}

/** Gaps that are named one by one. */
const MOST_TOLD = 20;
