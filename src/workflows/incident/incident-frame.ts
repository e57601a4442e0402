import { condition, defineSignal, setHandler } from '@temporalio/workflow';
import { parseNote, readRejection } from '../../domain/approval/parse-decisions.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import { signalNames } from '../../domain/operation/names.js';
import type { Rejection, SentBy } from '../../domain/plan/plan.js';
import { markdownText } from '../../domain/text/markdown.js';
import type { IncidentInput } from '../api.js';
import { Operation } from '../operation/open-operation.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { recordEnd, waitUnless } from '../operation/wait-for-host.js';

export type IncidentState = Extract<NoticeFacts, { kind: 'incident' }>['state'];
type DecisionKind = 'confirmed' | 'dismissed' | 'closed' | 'again';
/** `sentBy`: the signal that it came by; absent: no person sent it. */
export type IncidentDecision = { readonly kind: DecisionKind; readonly sentBy?: SentBy } & Rejection;
export type IncidentEnd = IncidentDecision & { readonly kind: 'dismissed' | 'closed' };
/** A line for the journal that is not yet written. */
interface Line {
  readonly step: 'note' | 'cause' | 'transactions';
  readonly text: string;
  readonly sentBy?: SentBy;
}

/** What messages do in a scenario, for whoever sends them in the Web UI. */
export interface IncidentWords {
  readonly close: string;
  readonly again: string;
  /** Since when it is so, UTC ISO-8601; null where the incident was opened by hand. */
  readonly since: string | null;
  /** What it is about, where that is not the whole cluster. */
  readonly table?: string;
  /** The probable cause, where whoever opened it named one. */
  readonly cause?: string | undefined;
}

/** What every incident has, whatever happened: decisions and notes of people, its records, whom it notifies, and its end. */
export class IncidentFrame {
  readonly operation: Operation;
  /** What people sent and is not yet acted upon. */
  readonly decisions: IncidentDecision[] = [];
  private readonly lines: Line[] = [];
  /** The probable cause, as people entered it last. */
  cause: string | null;

  constructor(
    private readonly input: IncidentInput,
    private readonly words: IncidentWords,
  ) {
    this.operation = new Operation('incident', input);
    this.cause = words.cause ?? null;
    this.handleDecision(signalNames.confirm, 'confirmed', 'it is a real incident');
    this.handleDecision(signalNames.dismiss, 'dismissed', 'it is a false alarm, stop here');
    this.handleDecision(signalNames.close, 'closed', words.close);
    this.handleDecision(signalNames.continue, 'again', words.again);
    setHandler(defineSignal<[unknown]>(signalNames.note), (raw) => this.onNote(raw), {
      description: 'a line for the journal: {"by":"...","text":"..."}; with "cause":true it is the probable cause',
    });
  }

  private handleDecision(name: string, kind: DecisionKind, what: string): void {
    setHandler(
      defineSignal<[unknown]>(name),
      (raw) => void this.decisions.push({ kind, sentBy: { signal: name }, ...readRejection(raw) }),
      {
        description: `${what}: {"by":"...","reason":"..."}`,
      },
    );
  }

  private onNote(raw: unknown): void {
    const parsed = parseNote(raw);
    const sentBy = { signal: signalNames.note };
    if ('problem' in parsed) return this.note('note', `unnamed: a note is not valid: ${parsed.problem}`, sentBy);
    const { by, text, isCause } = parsed;
    if (isCause) this.cause = text;
    this.note(isCause ? 'cause' : 'note', `${by}: ${text}`, sentBy);
  }

  /** A line for the journal, which is written as soon as the incident waits for people. */
  note(step: Line['step'], text: string, sentBy?: SentBy): void {
    this.lines.push({ step, text, ...(sentBy && { sentBy }) });
  }

  /** Somebody sent something, or there is something to write down. */
  get hasNews(): boolean {
    return this.decisions.length > 0 || this.lines.length > 0;
  }

  /** What ends the incident before anything was done. */
  get early(): IncidentEnd | undefined {
    return this.decisions.find((one): one is IncidentEnd => isEnd(one));
  }

  /** Looks up the cluster, notifies people, and waits for the host: people first, because the record may have to wait for it. */
  async open(text: string): Promise<void> {
    const { operation } = this;
    await operation.lookUp();
    await this.notify('suspected', text);
    await operation.waitForHost((wait) => waitUnless(() => this.early !== undefined, wait));
    if (this.early === undefined) await this.record('suspected', text);
  }

  /** The next decision of a person; null once `isOver`. Notes are written down meanwhile. */
  async nextDecision(isOver: () => boolean = () => false): Promise<IncidentDecision | null> {
    for (;;) {
      await condition(() => isOver() || this.hasNews);
      await this.recordNotes();
      if (isOver()) return null;
      const decision = this.decisions.shift();
      if (decision) return decision;
    }
  }

  async endBy<K extends IncidentEnd['kind']>(kind: K, decision: IncidentDecision): Promise<K> {
    const { by, reason } = decision;
    const state = kind === 'closed' ? 'completed' : 'cancelled';
    await this.notify(kind, reason, by);
    await recordEnd(this.operation, state, () => this.record(kind, reason, decision));
    this.operation.status.show(state, null, `**${kind}** by ${markdownText(`${by}: ${reason}`)}`);
    return kind;
  }

  async announce(
    state: IncidentState,
    text: string,
    decision?: Pick<IncidentDecision, 'by' | 'sentBy'>,
  ): Promise<void> {
    await this.notify(state, text, decision?.by);
    await this.record(state, text, decision);
  }

  private notify(state: IncidentState, text: string, by = this.input.requester): Promise<void> {
    const { scenario } = this.input;
    const { since, table } = this.words;
    const about = table === undefined ? {} : { table };
    return this.operation.notifications.notify({ kind: 'incident', scenario, state, text, by, since, ...about });
  }

  record(state: IncidentState, text: string, decision?: Pick<IncidentDecision, 'by' | 'sentBy'>): Promise<void> {
    const { by, sentBy } = decision ?? { by: this.input.requester };
    const { step } = this.operation;
    const { scenario } = this.input;
    return untilRecorded(this.operation, `record: ${state}`, (activities) =>
      activities.recordIncident({ ...step, scenario, state, text, by, sentBy }),
    );
  }

  async recordNotes(): Promise<void> {
    for (const { step, text, sentBy } of this.lines.splice(0)) await this.journal(step, text, sentBy);
  }

  /** The hour of discovery, and the cause where whoever opened the incident named one. */
  async recordDiscovery(at: string): Promise<void> {
    // A note that names another one meanwhile has a line of its own.
    const { cause } = this.words;
    await this.journal('discovered', at);
    if (cause !== undefined) await this.journal('cause', `${this.input.requester}: ${cause}`);
  }

  /** A line of the journal. */
  journal(step: string, text: string, sentBy?: SentBy): Promise<void> {
    const line = { ...this.operation.step, step, text, sentBy };
    return untilRecorded(this.operation, 'a line for the journal', (activities) => activities.journal(line));
  }
}

export const isEnd = (decision: IncidentDecision): decision is IncidentEnd =>
  decision.kind === 'dismissed' || decision.kind === 'closed';
