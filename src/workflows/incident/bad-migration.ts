import { CancellationScope, ParentClosePolicy, allHandlersFinished, condition, startChild } from '@temporalio/workflow';
import type { MigrationFindings, MigrationTime } from '../../domain/incident/migration.js';
import { STAGES } from '../../domain/table/incident-text.js';
import type { Suspects } from '../../domain/table/incident.js';
import { findingsText, migrationDetails, migrationTimeText } from '../../domain/incident/migration-text.js';
import { recoverWorkflowId, updateNames, workflowTypes } from '../../domain/operation/names.js';
import type { RecoveryOrder, RepairOrder } from '../../domain/operation/orders.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { recoveryRunbook } from '../../domain/plan/runbooks.js';
import { changedRows } from '../../domain/table/repair.js';
import { markdownCode } from '../../domain/text/markdown.js';
import { visible } from '../../domain/text/text.js';
import type { BadMigrationInput, IncidentOutput, RecoverOutput, RepairOutput } from '../api.js';
import { withTemporaryInstance } from '../explore/temporary-instance.js';
import { hostActivities, readActivities } from '../operation/activity-proxies.js';
import { isCancelled, refusal, sentence } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { recover } from '../recovery/recover.js';
import type { repairTable } from '../table/repair-table.js';
import { chosenRepair } from './chosen-repair.js';
import { type Choice, ChosenWork, type EndedChoice } from './chosen-work.js';
import { type IncidentEnd, IncidentFrame } from './incident-frame.js';

/** Name of the temporary instance with the state before the migration. */
const BEFORE = 'before';

type Work = typeof recover | typeof repairTable;

/**
 * A migration that went wrong, from suspicion to report: the state before it is compared with production, and people choose, the whole
 * database as it was or single tables, each with its own plan and approval. After a table they choose again; the incident ends with a
 * recovery, or when somebody closes it.
 */
export class BadMigration {
  readonly frame: IncidentFrame;
  private readonly discoveredAt: string;
  private time: MigrationTime | null = null;
  private findings: MigrationFindings | null = null;
  private transactions: Suspects | null = null;
  private problem: string | null = null;
  private readonly work: ChosenWork<Work, Choice<Work>>;
  private repaired = 0;

  constructor(private readonly input: BadMigrationInput) {
    const order = orderOf(input);
    this.discoveredAt = order.foundAt ?? new Date().toISOString();
    this.frame = new IncidentFrame(input, {
      close: 'close the incident: what was chosen is enough, or nothing is to be done',
      again: 'start the last choice again that was rejected or failed',
      since: this.discoveredAt,
      cause: order.cause,
      table: order.database,
    });
    this.work = new ChosenWork(this.frame);
    this.handleChoice(updateNames.chooseRepair, 'repair');
    this.handleChoice(updateNames.chooseRecovery, 'recovery');
  }

  private handleChoice(name: string, kind: 'repair' | 'recovery'): void {
    this.work.receive(name, { what: kind, command: 'the command with --incident' }, async ({ by, order: choice }) => {
      const read = hostActivities(this.operation.host, `read the ${kind} that was chosen`);
      const order = await read.readMigrationChoice({ ...this.request, kind, choice });
      return (
        kind === 'repair'
          ? chosenRepair(this.frame, { by, order: order as RepairOrder, discoveredAt: this.discoveredAt })
          : this.recoveryBy(by, order as RecoveryOrder)
      ) as Choice<Work>;
    });
  }

  async run(): Promise<IncidentOutput> {
    try {
      return await this.untilEnd();
    } finally {
      this.work.isOver = true;
      await CancellationScope.nonCancellable(() => condition(allHandlersFinished, '1m'));
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
      const ended = await work.carryOut(next, (waitingFor) => this.show('running', waitingFor));
      if ('kind' in ended) return this.endBy(ended);
      if (isRecovered(ended)) return this.closeRecovered(ended);
      await this.note(ended);
    }
  }

  /** People are told, the hour of discovery is written down, and the state before the migration is compared with production. */
  private async suspect(): Promise<void> {
    const { frame, operation, request } = this;
    this.show('suspected');
    await frame.open(`a migration of ${request.order.database} is suspected to have gone wrong`);
    if (frame.early !== undefined) return;
    const find = 'find when the migration was';
    this.time = await operation.status.phase(find, () =>
      runStep(operation, find, () => readActivities(operation.host, find).findMigration(request)),
    );
    this.work.isOpen = true;
    await frame.recordDiscovery(this.discoveredAt);
    await frame.journal('migration', migrationTimeText(this.time));
    this.show('suspected');
    await this.compare(this.time);
  }

  /** Where that fails, people may choose nevertheless. */
  private async compare(time: MigrationTime): Promise<void> {
    const { frame, operation, request, input } = this;
    const { database, policy } = request.order;
    const { host, status } = operation;
    const target = { kind: 'time', time: time.before } as const;
    const compare = 'compare the database before the migration with production';
    const read = 'look for transactions since then in the WAL';
    try {
      this.findings = await withTemporaryInstance(
        operation,
        { instance: BEFORE, requester: input.requester, order: { target, policy, databases: [database] } },
        () =>
          status.phase(compare, () => readActivities(host, compare).compareMigration({ ...request, instance: BEFORE })),
      );
      this.transactions = await status.phase(read, () =>
        readActivities(host, read).findMigrationTransactions({ ...request, from: time.before }),
      );
    } catch (error) {
      if (isCancelled(error)) throw error;
      this.problem = sentence(error);
    }
    await frame.record('suspected', findingsText(this.findings, this.problem));
  }

  /** Until somebody says that it is real, or chooses, which says so too. */
  private confirmed(): Promise<IncidentEnd | null> {
    const { workflowId } = this.operation.step;
    this.show('suspected', `a person: \`reprise incident confirm ${workflowId}\`, or \`dismiss\``);
    return this.work.confirmed();
  }

  private showChoice(): void {
    const { workflowId } = this.operation.step;
    const again = this.work.hasLast ? `, \`reprise continue ${workflowId}\` starts the last choice again` : '';
    this.show(
      'paused',
      `a person who chooses: \`reprise recover ... --incident ${workflowId}\` or \`reprise table repair ... --incident ${workflowId}\`${again}, \`reprise incident close ${workflowId}\` ends it`,
    );
  }

  private recoveryBy(by: string, order: RecoveryOrder): Choice<typeof recover> {
    const { cluster, operationId: own, workflowId: incident } = this.operation.step;
    return {
      ...{ by, what: 'recovery' },
      idsOf: (attempt) => {
        const operationId = `${own}-${attempt}`;
        return { operationId, workflowId: recoverWorkflowId(cluster, operationId) };
      },
      start: ({ workflowId, operationId }) =>
        startChild(recover, {
          workflowId,
          // An incident that is terminated or Reset must not stop a recovery half way.
          parentClosePolicy: ParentClosePolicy.ABANDON,
          priority: priorityOf(workflowTypes.recover),
          staticSummary: visible(`recover ${order.database ?? cluster} of ${cluster} to before its migration`),
          staticDetails: recoveryRunbook(cluster, order.into).details,
          args: [{ cluster, requester: by, operationId, order, incident, firstFailedAt: this.discoveredAt }],
        }),
    };
  }

  /** What a choice came to that does not end the incident. */
  private async note(ended: EndedChoice<Work>): Promise<void> {
    const { workflowId, output, why } = ended;
    if (output !== null && isRepair(output) && output.outcome !== null) {
      this.repaired++;
      await this.frame.journal('repair', `${workflowId} put ${changedRows(output.outcome.done)} rows right`);
      return;
    }
    const rejected = output?.rejectedBecause;
    const because =
      output === null ? why : rejected === undefined ? 'nothing was to be changed' : `rejected by ${rejected}`;
    await this.frame.announce('undecided', `${workflowId}: ${because}`);
  }

  private async closeRecovered({ workflowId, operationId, output }: EndedChoice<Work>): Promise<IncidentOutput> {
    const reached = (output as RecoverOutput).outcome?.target.reached ?? 'unknown';
    await this.frame.announce('closed', `${workflowId} recovered the database to ${reached}`);
    const report = await this.writeReport(operationId);
    this.operation.status.show('completed', null, `**Closed.** Report: ${markdownCode(report ?? 'none')}`);
    return { state: 'closed', recovery: workflowId, report };
  }

  private async endBy(decision: IncidentEnd): Promise<IncidentOutput> {
    const state = await this.frame.endBy(decision.kind, decision);
    const report = state === 'closed' && this.time !== null ? await this.writeReport(null) : null;
    return { state, recovery: null, repair: null, report };
  }

  private async writeReport(recovery: string | null): Promise<string | null> {
    const { time, findings, discoveredAt } = this;
    if (time === null) return null;
    await this.frame.recordNotes();
    return untilRecorded(this.operation, 'write the incident document', (activities) =>
      activities.writeMigrationReport({ ...this.request, discoveredAt, time, findings, recovery }),
    );
  }

  private show(state: 'suspected' | 'paused' | 'running', waitingFor: string | null = null): void {
    const { discoveredAt, time, findings, transactions, problem, request, frame, repaired } = this;
    const facts = { ...request, discoveredAt, cause: frame.cause, time, findings, transactions, problem, repaired };
    this.operation.status.show(state, waitingFor, migrationDetails(facts, STAGES[state]));
  }

  private get operation() {
    return this.frame.operation;
  }

  private get request() {
    return { ...this.operation.step, order: this.input.order };
  }
}

const isRepair = (output: RecoverOutput | RepairOutput): output is RepairOutput =>
  output.plan?.binding.action === 'table-repair';

function isRecovered({ output }: EndedChoice<Work>): boolean {
  return output !== null && !isRepair(output) && output.state === 'completed' && output.outcome !== null;
}

/** Whoever starts a workflow by hand may leave out anything. */
function orderOf({ order }: BadMigrationInput): BadMigrationInput['order'] {
  if (typeof (order as { database?: unknown } | undefined)?.database === 'string') return order;
  throw refusal(
    'usage',
    'it is not said which database the incident is about',
    'reprise incident start bad-migration --cluster C --database D',
  );
}
