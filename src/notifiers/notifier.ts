import type { z } from 'zod';
import type { SecretReference } from '../domain/config.js';

/** One contact and its addresses for the notifier that sends. */
export interface Recipient {
  readonly contact: string;
  readonly addresses: readonly string[];
}

/** What is to be sent, in the same words by every notifier. */
export interface NotifierMessage {
  /** Hexadecimal; the same in every attempt, so that whoever gets it twice knows. */
  readonly id: string;
  /** Hexadecimal; the same for all messages of one operation. */
  readonly thread: string;
  /** `failure`, `waiting-approval`... or `test`. */
  readonly event: string;
  readonly cluster: string | null;
  readonly workflowId: string;
  /** UTC ISO-8601 of what it tells of. */
  readonly at: string;
  readonly subject: string;
  readonly text: string;
  readonly link: string | null;
  /** Of a run that has begun or ended; absent: people are told. */
  readonly run?: { readonly work: string; readonly state: 'started' | 'succeeded' | 'failed' };
  /** Who has to act. */
  readonly first: readonly Recipient[];
  /** Who is told as well. */
  readonly others: readonly Recipient[];
}

export interface SendContext {
  readonly message: NotifierMessage;
  /** Resolves a secret when it is needed; it is kept nowhere. */
  readonly secret: (reference: SecretReference) => Promise<string>;
  readonly signal: AbortSignal;
}

export interface Sent {
  /** Addresses that were not taken while others were. */
  readonly refused: readonly string[];
  /** Who took it, in a few words without secrets. */
  readonly detail: string;
}

/** A kind of notifier; one line in the registry. */
export interface NotifierKind<S extends z.ZodObject = z.ZodObject, O = Readonly<Record<string, unknown>>> {
  /** Strict schema of the notifier's keys besides `type`, as written in reprise.yml. */
  readonly options: S;
  /** Makes `NotifierConfig.options` of what the schema accepted. */
  readonly read: (options: z.output<S>) => O;
  /** Schema of one address of a contact; null where the notifier has one address of its own. */
  readonly address: z.ZodType<string> | null;
  /** It is told of every scheduled run, and of nothing else; absent: people are told of the events under `notify`. */
  readonly takesRuns?: true;
  /**
   * Sends one message; returns when it was taken.
   * @throws RepriseError `notifier-unreachable` (to be tried again), `notifier-rejected`, `address-refused`, `config-invalid`
   */
  readonly send: (context: SendContext, options: O) => Promise<Sent>;
}
