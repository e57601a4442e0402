import type { NotTested } from '../../../domain/drill/drill.js';

/** Every sentence of a drill's report: another language is another value of this type. Texts of hosts, checks and people stay as they are. */
export interface DrillSentences {
  /** As HTML has it: `en`. */
  readonly language: string;
  /** README.txt of the evidence, for whoever gets it without us: its files, and how to verify them. `signer`: fingerprint of the key; null: none. */
  readonly readme: (signer: string | null) => string;
  readonly title: (cluster: string) => string;
  readonly verdicts: Readonly<Record<'pass' | 'fail' | 'incomplete', string>>;
  readonly summary: (facts: {
    readonly verdict: 'pass' | 'fail' | 'incomplete';
    readonly restores: number;
    readonly planned: number;
    readonly passed: number;
    readonly failed: number;
    readonly skipped: number;
    readonly notTested: number;
  }) => string;
  readonly sections: Readonly<
    Record<
      | 'notTested'
      | 'objectives'
      | 'phases'
      | 'prediction'
      | 'trend'
      | 'checks'
      | 'restored'
      | 'signOff'
      | 'failures'
      | 'versions'
      | 'evidence',
      string
    >
  >;
  /** Heads of tables and names of facts. */
  readonly words: Readonly<
    Record<
      | 'attempt'
      | 'backup'
      | 'check'
      | 'cluster'
      | 'configuration'
      | 'drill'
      | 'error'
      | 'evidenceFile'
      | 'figure'
      | 'finished'
      | 'found'
      | 'gap'
      | 'lastCommit'
      | 'lastLsn'
      | 'measured'
      | 'name'
      | 'objective'
      | 'phase'
      | 'place'
      | 'plan'
      | 'policy'
      | 'predicted'
      | 'program'
      | 'rate'
      | 'reached'
      | 'reason'
      | 'requester'
      | 'result'
      | 'seed'
      | 'started'
      | 'doneStep'
      | 'target'
      | 'took'
      | 'version'
      | 'what'
      | 'within',
      string
    >
  >;
  readonly kinds: Readonly<Record<NotTested['kind'], string>>;
  readonly statuses: Readonly<Record<'passed' | 'failed' | 'skipped', string>>;
  readonly allTested: string;
  readonly noChecks: string;
  readonly noRestore: string;
  readonly noObjective: string;
  readonly notKnown: string;
  readonly rto: (policy: string) => string;
  readonly rpo: string;
  readonly met: (duration: string) => string;
  readonly missed: (duration: string) => string;
  readonly objectiveBeyond: (duration: string) => string;
  readonly objectiveLine: (duration: string) => string;
  readonly figuresNote: string;
  readonly phasesNote: string;
  readonly nothingMeasured: string;
  readonly predictedRange: (p50: string, p90: string, samples: number) => string;
  readonly within: string;
  readonly above: string;
  readonly below: string;
  readonly predictionNote: string;
  readonly firstDrill: string;
  readonly trendNote: (drills: number) => string;
  readonly chosen: Readonly<Record<'asked' | 'latest' | 'random' | 'same-as', string>>;
  readonly chosenIn: (from: string, to: string) => string;
  readonly perSecond: (size: string) => string;
  readonly nobodyAsked: string;
  readonly noAnswer: string;
  readonly signOff: (facts: { readonly by: string; readonly verdict: 'pass' | 'fail'; readonly at: string }) => string;
  readonly remarks: string;
  readonly signatory: string;
  readonly signature: string;
  readonly date: string;
  readonly countersign: string;
  readonly evidenceNote: string;
  readonly verifyOne: string;
  readonly verifyByHand: string;
  readonly signedWith: (fingerprint: string) => string;
  readonly notSigned: string;
  readonly hint: (hint: string) => string;
}
