import type { Workflow, WorkflowResultType } from '@temporalio/common';
import { type ChildWorkflowHandle, condition, defineUpdate, setHandler } from '@temporalio/workflow';
import { parseRepairChoice, type RepairChoice } from '../../domain/approval/parse-decisions.js';
import type { ChosenRepair } from '../api.js';
import { APPROVAL } from '../operation/confirm-incident.js';
import { refusal } from '../operation/operation-status.js';
import { shapeValidator } from '../operation/step-people.js';
import { type EndedChild, IncidentChild, tooLate, waitsForDecision, waitsForEnd } from './incident-child.js';
import { type IncidentEnd, type IncidentFrame, isEnd } from './incident-frame.js';

/** What a person chose, and how it is carried out. */
export interface Choice<T extends Workflow> {
  readonly by: string;
  /** `repair`, `recovery`: for the journal. */
  readonly what: string;
  readonly idsOf: (attempt: number) => ChosenRepair;
  readonly start: (ids: ChosenRepair) => Promise<ChildWorkflowHandle<T>>;
}

/** How what was chosen has ended. */
export type EndedChoice<T extends Workflow> = EndedChild<WorkflowResultType<T>> & ChosenRepair;

/** What people choose in an incident, one after the other: each is a child workflow that waits for its own approval. */
export class ChosenWork<T extends Workflow, C extends Choice<T>> {
  /** The operation of the incident is its host's: from then on a choice can be checked there. */
  isOpen = false;
  isOver = false;
  /** A choice is being checked or carried out: there is one at a time. */
  private isTaken = false;
  private choice: C | null = null;
  private last: C | null = null;
  private attempts = 0;
  private started: ChosenRepair | null = null;

  constructor(private readonly frame: IncidentFrame) {}

  get hasLast(): boolean {
    return this.last !== null;
  }

  /**
   * Has an update of this name choose a repair or a recovery.
   * @param command what sends it
   * @param read reads the choice on the host
   */
  receive(
    name: string,
    { what, command }: { readonly what: string; readonly command: string },
    read: (chosen: RepairChoice) => Promise<C>,
  ): void {
    const shape = `{"by":"<your name>","order":{...}}, as ${command} sends it`;
    setHandler(defineUpdate<ChosenRepair, [unknown]>(name), (raw) => this.choose(parseRepairChoice(raw), read), {
      description: `start this ${what}: ${shape}`,
      validator: shapeValidator(parseRepairChoice, shape),
    });
  }

  /** Checks what a person chose, and answers once it is started. */
  private async choose(
    parsed: RepairChoice | { problem: string },
    read: (chosen: RepairChoice) => Promise<C>,
  ): Promise<ChosenRepair> {
    if ('problem' in parsed) throw refusal('approval-refused', parsed.problem);
    if (this.isOver) throw refusal('conflict', 'the incident is over', 'see `reprise incident list`');
    if (this.isTaken)
      throw refusal(
        'conflict',
        `something was chosen already: ${this.started?.workflowId ?? 'it is being started'}`,
        'reject that one first, or wait for its end',
      );
    this.isTaken = true;
    const before = this.started;
    try {
      await condition(() => this.isOpen || this.isOver);
      this.choice = await read(parsed);
    } catch (error) {
      this.isTaken = false;
      throw error;
    }
    await condition(() => this.started !== before || this.isOver);
    if (this.started === null || this.started === before)
      throw refusal('conflict', 'the incident ended before it was started', 'start it without --incident');
    return this.started;
  }

  /** Until somebody says that the incident is real, or chooses what is to be done, which says so too; else what ends it. */
  async confirmed(): Promise<IncidentEnd | null> {
    for (;;) {
      const decision = await this.frame.nextDecision(() => this.choice !== null);
      if (decision !== null && isEnd(decision)) return decision;
      if (decision?.kind === 'again') continue;
      const { choice } = this;
      const by = decision ?? { by: choice?.by ?? 'unnamed', reason: `a ${choice?.what ?? 'repair'} was chosen` };
      await this.frame.announce('confirmed', by.reason, by);
      return null;
    }
  }

  /** What a person chooses next, or the last choice again, or what ends the incident. */
  async next(): Promise<C | IncidentEnd> {
    for (;;) {
      const decision = await this.frame.nextDecision(() => this.choice !== null);
      if (decision !== null && isEnd(decision)) return decision;
      if (decision?.kind === 'again' && this.last !== null && !this.isTaken) this.choice = this.last;
      const { choice } = this;
      if (choice === null) continue;
      this.isTaken = true;
      this.choice = null;
      this.last = choice;
      return choice;
    }
  }

  /**
   * Carries it out, and keeps the journal meanwhile.
   * @param show told what is waited for
   */
  async carryOut(choice: C, show: (waitingFor: string) => void): Promise<EndedChoice<T> | IncidentEnd> {
    const ids = choice.idsOf(++this.attempts);
    const { workflowId } = ids;
    const child = await IncidentChild.start(() => choice.start(ids));
    this.started = ids;
    try {
      if (child === null) return { ...ids, output: null, why: `${workflowId} was started before: it continues` };
      show(waitsForDecision(workflowId));
      const ended = await this.follow(child, choice, workflowId, show);
      return 'kind' in ended ? ended : { ...ids, ...ended };
    } catch (error) {
      await child?.letGo();
      throw error;
    } finally {
      this.isTaken = false;
    }
  }

  private async follow(
    child: IncidentChild<T>,
    { what }: C,
    workflowId: string,
    show: (waitingFor: string) => void,
  ): Promise<EndedChild<WorkflowResultType<T>> | IncidentEnd> {
    for (;;) {
      const decision = await this.frame.nextDecision(() => child.ended !== null);
      if (child.ended !== null) return child.ended;
      if (decision === null) continue;
      if (decision.kind === 'confirmed' && decision.by === APPROVAL) {
        child.approved = true;
        await this.frame.journal(what, `${workflowId}: ${decision.reason}`, decision.sentBy);
        show(waitsForEnd(what, workflowId));
      } else if (isEnd(decision)) {
        if (!child.approved) {
          await child.cancel();
          return decision;
        }
        await this.frame.journal('note', tooLate(decision, what, workflowId));
      }
    }
  }
}
