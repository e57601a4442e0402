import { CancellationScope, allHandlersFinished, condition, defineSignal, setHandler } from '@temporalio/workflow';
import type { RepairChoice } from '../../domain/approval/parse-decisions.js';
import { signalNames, updateNames } from '../../domain/operation/names.js';
import type { TableIncidentOrder } from '../../domain/operation/orders.js';
import type { TableSurvey, Suspects } from '../../domain/table/incident.js';
import {
  type IncidentStage,
  STAGES,
  incidentTable,
  surveyText,
  suspectsText,
  tableIncidentDetails,
} from '../../domain/table/incident-text.js';
import { changedRows, type RepairOutcome } from '../../domain/table/repair.js';
import { markdownCode } from '../../domain/text/markdown.js';
import type { IncidentOutput, TableCorruptionInput } from '../api.js';
import { hostActivities, readActivities } from '../operation/activity-proxies.js';
import { isCancelled, refusal, sentence } from '../operation/operation-status.js';
import { untilRecorded } from '../operation/until-recorded.js';
import type { repairTable } from '../table/repair-table.js';
import { chosenRepair } from './chosen-repair.js';
import { type Choice, ChosenWork, type EndedChoice } from './chosen-work.js';
import { IncidentHold } from './incident-hold.js';
import { type IncidentEnd, IncidentFrame, isEnd } from './incident-frame.js';

/**
 * Rows of a table that are wrong, from suspicion to report: figures, confirmation, the repair that people choose, in a child workflow
 * with its own approval, and the document. A repair that comes to nothing leads back to the choice.
 */
export class TableCorruption {
  readonly frame: IncidentFrame;
  private readonly discoveredAt: string;
  private survey: TableSurvey | null = null;
  private suspects: Suspects | null = null;
  private readonly search = new CancellationScope();
  private stage: IncidentStage = 'confirm';
  private readonly work: ChosenWork<typeof repairTable, Choice<typeof repairTable>>;
  private hold: IncidentHold | null = null;

  constructor(private readonly input: TableCorruptionInput) {
    const order = orderOf(input);
    this.discoveredAt = order.foundAt ?? new Date().toISOString();
    this.frame = new IncidentFrame(input, {
      close: 'close an incident without a repair',
      again: 'start the last repair again that was rejected or failed',
      since: this.discoveredAt,
      cause: order.cause,
      table: incidentTable(order),
    });
    // The rows may be watched for hours: the table is not kept frozen for that.
    setHandler(defineSignal(signalNames.repaired), () => this.hold?.release('incident', 'the table was put right'), {
      description: 'sent by the repair',
    });
    setHandler(defineSignal(signalNames.writesBlocked), () => this.holdChanged((hold) => (hold.isBlocking = true)), {
      description: 'sent by the block of writes',
    });
    this.work = new ChosenWork(this.frame);
    const words = { what: 'repair', command: '`reprise table repair ... --incident`' };
    this.work.receive(updateNames.chooseRepair, words, (chosen) => this.read(chosen));
  }

  async run(): Promise<IncidentOutput> {
    try {
      return await this.untilEnd();
    } finally {
      this.work.isOver = true;
      this.search.cancel();
      await CancellationScope.nonCancellable(async () => {
        // However the incident ends: nothing else opens the table.
        await this.hold?.release('incident', `${this.operation.step.workflowId} has ended`);
        await condition(allHandlersFinished, '1m');
      });
    }
  }

  private async untilEnd(): Promise<IncidentOutput> {
    const { frame, work } = this;
    await this.suspect();
    const early = frame.early ?? (await this.confirmed());
    if (early !== null) return this.endBy(early);
    for (;;) {
      this.showChoice();
      const next = await work.next();
      if ('kind' in next) return this.endBy(next);
      const repair = await work.carryOut(next, (waitingFor) => this.show('running', waitingFor));
      if ('kind' in repair) return this.endBy(repair);
      const outcome = repair.output?.outcome ?? null;
      if (outcome !== null) return this.close(repair, outcome);
      await frame.announce('undecided', whyUndone(repair));
    }
  }

  /** People are told, the hour of discovery is written down, and the figures are looked up. */
  private async suspect(): Promise<void> {
    const { frame, operation, request } = this;
    this.show('suspected');
    await frame.open(`rows of ${incidentTable(request.order)} are suspected to be wrong`);
    if (frame.early !== undefined) return;
    await untilRecorded(operation, 'open the incident on the host', (activities) =>
      activities.openTableIncident(request),
    );
    this.work.isOpen = true;
    await frame.recordDiscovery(this.discoveredAt);
    this.survey = await operation.status.phase('look at the table', () => this.lookAtTable());
    await frame.record('suspected', surveyText(this.survey));
    this.lookForSuspects();
    if (this.input.order.hold === true) await this.block();
  }

  private lookAtTable(): Promise<TableSurvey> {
    const name = 'compare its rows with those of the backups';
    return readActivities(this.operation.host, name)
      .surveyTable(this.request)
      .catch((error: unknown) => {
        if (isCancelled(error)) throw error;
        return { history: [], rowsNow: null, suspicion: null, blocks: false, problems: [sentence(error)] };
      });
  }

  /** Beside everything else: nobody waits for hours of WAL. */
  private lookForSuspects(): void {
    const { host } = this.operation;
    const look = async (): Promise<void> => {
      const to = this.discoveredAt;
      this.suspects = await readActivities(host, 'look for large transactions in the WAL')
        .findSuspects({ ...this.request, discoveredAt: to })
        .catch((error: unknown) => {
          if (isCancelled(error)) throw error;
          return { from: to, to, transactions: [], problem: sentence(error) };
        });
      this.frame.note('transactions', suspectsText(this.suspects));
      this.operation.status.describe(this.details);
    };
    this.search.run(look).catch(() => undefined);
  }

  /** Until somebody says that it is real, or chooses a repair, which says so too. */
  private async confirmed(): Promise<IncidentEnd | null> {
    const { workflowId } = this.operation.step;
    this.show('suspected', `a person: \`reprise incident confirm ${workflowId}\`, or \`dismiss\``);
    const end = await this.work.confirmed();
    if (end !== null) return end;
    await this.block();
    return null;
  }

  /** Writes are blocked, where the configuration says how; nobody waits for it, because it has an approval of its own. */
  private async block(): Promise<void> {
    if (this.hold !== null) return;
    const { input, frame } = this;
    if (this.survey?.blocks !== true) {
      if (input.order.hold === true)
        await frame.journal(
          'hold',
          'writes are not blocked: the configuration says for this table neither how nor by which hooks',
        );
      return;
    }
    this.hold = await IncidentHold.start(input, this.operation.step.workflowId);
    this.hold.onEnd(() => this.holdChanged());
    await frame.journal('hold', `${this.hold.workflowId} blocks the writes to the table once its plan is approved`);
  }

  /** The page says at once whether the table takes writes. */
  private holdChanged(change: (hold: IncidentHold) => void = () => undefined): void {
    if (this.hold === null || this.work.isOver) return;
    change(this.hold);
    this.operation.status.describe(this.details);
  }

  /** Until the table takes writes again, or a person does not want to wait for that. */
  private async release(reason: string): Promise<void> {
    const { hold, frame } = this;
    if (hold === null) return;
    await hold.release('incident', reason);
    this.show('running', `the release of the table by ${hold.workflowId}: \`reprise status ${hold.workflowId}\``);
    for (let waits = hold.isKnown; waits;) {
      const decision = await frame.nextDecision(() => hold.hasEnded);
      waits = decision !== null && !isEnd(decision);
    }
    await frame.journal('hold', hold.end ?? `${hold.workflowId} was told to open the table`);
  }

  private showChoice(): void {
    const { workflowId } = this.operation.step;
    const again = this.work.hasLast ? `, \`reprise continue ${workflowId}\` starts the last one again` : '';
    this.show(
      'paused',
      `a person who chooses the repair: \`reprise table repair ... --incident ${workflowId}\`${again}, \`reprise incident close ${workflowId}\` ends it without one`,
    );
  }

  /** Reads what a person chose on the host, which refuses what is about another table. */
  private async read({ by, order: choice }: RepairChoice): Promise<Choice<typeof repairTable>> {
    const { discoveredAt, request } = this;
    const order = await hostActivities(this.operation.host, 'read the repair that was chosen').readRepairChoice({
      ...{ ...request, choice },
    });
    return chosenRepair(this.frame, { by, order, discoveredAt });
  }

  /** The table is right again: the incident closes with its document. */
  private async close(
    { workflowId, operationId }: EndedChoice<typeof repairTable>,
    { done }: RepairOutcome,
  ): Promise<IncidentOutput> {
    await this.release(`${workflowId} has put the table right`);
    await this.frame.announce('closed', `${workflowId} put ${changedRows(done)} rows right`);
    const report = await this.writeReport(operationId);
    this.operation.status.show('completed', null, `**Closed.** Report: ${markdownCode(report)}`);
    return { state: 'closed', recovery: null, repair: workflowId, report };
  }

  private async endBy(decision: IncidentEnd): Promise<IncidentOutput> {
    const state = await this.frame.endBy(decision.kind, decision);
    const report = state === 'closed' && this.work.isOpen ? await this.writeReport(null) : null;
    return { state, recovery: null, repair: null, report };
  }

  private async writeReport(repair: string | null): Promise<string> {
    await this.frame.recordNotes();
    return untilRecorded(this.operation, 'write the incident document', (activities) =>
      activities.writeTableReport({ ...this.request, discoveredAt: this.discoveredAt, repair }),
    );
  }

  private show(state: 'suspected' | 'paused' | 'running', waitingFor: string | null = null): void {
    this.stage = STAGES[state];
    this.operation.status.show(state, waitingFor, this.details);
  }

  private get details(): string {
    const { discoveredAt, survey, suspects, request, stage, frame } = this;
    const hold = this.hold?.view ?? null;
    return tableIncidentDetails({ ...request, discoveredAt, cause: frame.cause, survey, suspects, hold }, stage);
  }

  private get operation() {
    return this.frame.operation;
  }

  private get request() {
    return { ...this.operation.step, order: this.input.order };
  }
}

/** Whoever starts a workflow by hand may leave out anything. */
function orderOf({ order }: TableCorruptionInput): TableIncidentOrder {
  const { database, table } = (order as Partial<TableIncidentOrder> | undefined) ?? {};
  if (typeof database === 'string' && typeof table?.schema === 'string' && typeof table.table === 'string')
    return order;
  throw refusal(
    'usage',
    'it is not said which table the incident is about',
    'reprise incident start table-corruption --cluster C --database D --table SCHEMA.TABLE',
  );
}

function whyUndone({ workflowId, output, why }: EndedChoice<typeof repairTable>): string {
  if (output === null) return why;
  return output.rejectedBecause === undefined
    ? `${workflowId} found nothing to change`
    : `${workflowId} was rejected by ${output.rejectedBecause}`;
}
