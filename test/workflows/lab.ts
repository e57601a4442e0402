import { ApplicationFailure, Context, activityInfo } from '@temporalio/activity';
import { type BaseWorkflowHandle, Client, type Connection, type WorkflowHandle } from '@temporalio/client';
import { type Workflow, WorkflowNotFoundError } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlActivities, HostActivities } from '../../src/activities/api.js';
import type { ErrorCode } from '../../src/domain/errors.js';
import {
  CONTROL_QUEUE,
  heavyQueue,
  lightQueue,
  queryNames,
  mediaQueue,
  recoveryQueue,
  watchQueue,
} from '../../src/domain/operation/names.js';
import type { OperationStatusView } from '../../src/domain/operation/status.js';
import { findTestServerBinary } from '../../src/process/exec/find-programs.js';
import { registerSearchAttributes } from '../../src/worker/search-attributes.js';
import { openConnection } from '../../src/client/open-connection.js';
import { onCleanup } from '../helpers/cleanup.js';
import { installQuietRuntime } from '../helpers/quiet-runtime.js';
import { openNamespace, sharedTemporal } from '../helpers/site-session.js';
import { pause } from '../helpers/until.js';
import { workflowBundle } from '../helpers/workflow-bundle.js';
import { wellBehaved } from './well-behaved.js';

export type Activities = ControlActivities & HostActivities;
export type Name = keyof Activities;
export interface Call {
  readonly name: Name;
  readonly queue: string;
  readonly input: Readonly<Record<string, unknown>>;
}

/** The host whose queues have workers here; any other host has none. */
export const HOST = 'db1';
/** A wait ends with this only where a test has failed: machines are slow sometimes. */
const DEADLINE_MS = 180_000;
const BEAT_MS = 100;
/** Time that stands still although nothing has moved for so long is let go. */
const LOST_LOCK_MS = 4000;
/** Activities whose worker counts as lost. */
const silent = new WeakSet<Context>();

/** The workflows as they are, on a real Temporal server, with activities that a test writes. */
export class Lab {
  private readonly cases = new Map<string, Case>();
  /** Activities under way, of which time stands still on the server; and when the last one began or ended. */
  private readonly under = new Set<Context>();
  private lastMove = 0;

  private constructor(
    readonly client: Client,
    /** The server whose clock goes forward; null: it has none that does. */
    private readonly env: TestWorkflowEnvironment | null,
  ) {}

  /** Lets the server's clock go forward. */
  async pass(time: string): Promise<void> {
    const { env } = this;
    if (env === null) throw new Error('this server does not skip time');
    const server = env.connection.testService;
    const passing = env.sleep(time as '1s').then(() => true);
    let unlocked = 0;
    while (!(await Promise.race([passing, sleep(LOST_LOCK_MS / 2, false)])))
      if (this.isQuiet) await server?.unlockTimeSkipping({}).then(() => unlocked++, String);
    // Whatever holds the clock may let go of it later: else it would go on by itself then.
    for (; unlocked > 0; unlocked--) await server?.lockTimeSkipping({});
  }

  /**
   * Nothing that the server waits for: it sometimes keeps time still for an activity whose workflow has ended or that has timed out
   * (temporalio/sdk-java#1138).
   */
  private get isQuiet(): boolean {
    const working = [...this.under].filter((one) => !silent.has(one));
    return working.length === 0 && performance.now() - this.lastMove > LOST_LOCK_MS;
  }

  /** The server's clock, ms since the epoch: ahead of ours by what has passed. */
  async now(): Promise<number> {
    return (await this.env?.currentTimeMs()) ?? Date.now();
  }

  /** On the server that all tests share, in a namespace of its own: no time is skipped. */
  static async start(): Promise<Lab> {
    installQuietRuntime();
    const address = sharedTemporal();
    const namespace = `lab-${randomUUID()}`;
    const [native, session] = await Promise.all([
      NativeConnection.connect({ address }),
      openNamespace(address, namespace),
    ]);
    return Lab.over(native, session.connection, namespace);
  }

  /**
   * On the time-skipping server, whose clock is real time but for {@link pass}: only for tests that pass time. It loses the task of a
   * workflow that cancels a timer or an activity which ends during that very task (it answers "invalid history builder state for
   * action"), and the workflow hangs for ever, with whoever queries it: so no test here may cancel a timer that is about to end.
   */
  static async skipping(): Promise<Lab> {
    installQuietRuntime();
    const [path, bundle] = await Promise.all([findTestServerBinary(), workflowBundle()]);
    const env = await TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path } },
    });
    onCleanup(() => env.teardown());
    // A client of its own: the environment's would skip time whenever a result is waited for. And a connection of its own: a result
    // that a test no longer waits for ends with it, and does not throw out of a timer in the next file.
    const connection = await openConnection({ address: env.address });
    onCleanup(() => connection.close());
    const lab = new Lab(new Client({ connection }), env);
    await lab.work(env.nativeConnection, 'default', bundle);
    return lab;
  }

  /** On a server of the test's own. */
  static async on(address: string): Promise<Lab> {
    installQuietRuntime();
    const [native, connection] = await Promise.all([
      NativeConnection.connect({ address }),
      openConnection({ address }),
    ]);
    return Lab.over(native, connection, 'default');
  }

  private static async over(native: NativeConnection, connection: Connection, namespace: string): Promise<Lab> {
    onCleanup(async () => {
      await connection.close();
      await native.close();
    });
    const lab = new Lab(new Client({ connection, namespace }), null);
    await lab.work(native, namespace, await workflowBundle());
    return lab;
  }

  /**
   * A cluster of its own, whose activities do what is given and otherwise behave well; named after a host, the same for the
   * workflows of the host.
   */
  case(activities: Partial<Activities> = {}, name = `c${this.cases.size + 1}`): Case {
    const made = new Case(this, name, activities);
    this.cases.set(made.cluster, made);
    return made;
  }

  private async work(
    connection: NativeConnection,
    namespace: string,
    bundle: WorkflowBundleWithSourceMap,
  ): Promise<void> {
    await registerSearchAttributes(connection, namespace);
    const activities = Object.fromEntries(
      (Object.keys(wellBehaved) as Name[]).map((name) => [name, (input: never) => this.dispatch(name, input)]),
    );
    const hostQueues = [lightQueue(HOST), heavyQueue(HOST), recoveryQueue(HOST), mediaQueue(HOST), watchQueue(HOST)];
    // A test that failed may leave an activity hanging: its end is not waited for.
    const shared = {
      connection,
      namespace,
      activities,
      shutdownForceTime: '1s',
      maxHeartbeatThrottleInterval: '100ms',
    };
    const workers = await Promise.all([
      Worker.create({ ...shared, taskQueue: CONTROL_QUEUE, workflowBundle: bundle }),
      ...hostQueues.map((taskQueue) => Worker.create({ ...shared, taskQueue })),
    ]);
    const running = Promise.all(workers.map((worker) => worker.run()));
    onCleanup(async () => {
      for (const worker of workers) worker.shutdown();
      await running;
    });
  }

  private async dispatch(name: Name, input: Readonly<Record<string, unknown>>): Promise<unknown> {
    const { workflowExecution, taskQueue } = activityInfo();
    const one = this.cases.get(workflowExecution?.workflowId.split('/')[1] ?? '');
    if (!one) throw new Error(`no case for ${workflowExecution?.workflowId}`);
    const context = Context.current();
    this.under.add(context);
    this.lastMove = performance.now();
    try {
      return await one.perform({ name, queue: taskQueue, input });
    } finally {
      this.under.delete(context);
      this.lastMove = performance.now();
    }
  }
}

/** One cluster, its workflow and what the workflow asked for. */
export class Case {
  readonly calls: Call[] = [];
  private handle: WorkflowHandle | null = null;

  constructor(
    private readonly lab: Lab,
    readonly cluster: string,
    private readonly activities: Partial<Activities>,
  ) {}

  async start(type: string, id: string, input: object): Promise<WorkflowHandle> {
    const workflowId = id.replace('CLUSTER', this.cluster);
    const handle: WorkflowHandle = await this.lab.client.workflow.start(type, {
      taskQueue: CONTROL_QUEUE,
      workflowId,
      args: [{ cluster: this.cluster, ...input }],
    });
    this.handle ??= handle;
    onCleanup(() => handle.terminate('the test is over').catch(() => undefined));
    return handle;
  }

  get workflow(): WorkflowHandle {
    if (!this.handle) throw new Error('nothing was started');
    return this.handle;
  }

  /** Names of the activities asked for, in order, without the ones every workflow starts with, or ends with. */
  get names(): readonly Name[] {
    const everywhere: readonly Name[] = [
      'describeCluster',
      'hostAnswers',
      'acquireSlot',
      'releaseSlot',
      'releaseGrant',
    ];
    return this.calls.map(({ name }) => name).filter((name) => !everywhere.includes(name));
  }

  of(name: Name): readonly Call['input'][] {
    return this.calls.filter((call) => call.name === name).map(({ input }) => input);
  }

  /** Lines of the journal, as `step: text`. */
  get journal(): readonly string[] {
    return this.of('journal').map(({ step, text }) => `${String(step)}: ${String(text)}`);
  }

  /** Waits until such a line is in the journal: many are written beside what is shown. */
  async journaled(line: RegExp): Promise<void> {
    await this.until(
      () => Promise.resolve(this.journal.some((one) => line.test(one)) || null),
      () => Promise.resolve(this.journal.join('\n')),
    );
  }

  status(handle: BaseWorkflowHandle<Workflow> = this.workflow): Promise<OperationStatusView> {
    return (handle as WorkflowHandle).query<OperationStatusView>(queryNames.status);
  }

  /**
   * Waits for a state, and returns the status in it. The state has to last until it was seen: a test holds back what ends it. A workflow
   * that is still to be started is waited for.
   */
  state(state: OperationStatusView['state'], handle: WorkflowHandle = this.workflow): Promise<OperationStatusView> {
    return this.untilStatus((status) => status.state === state, handle);
  }

  /** Waits until the status says that this is waited for; the same holds. */
  waitsFor(text: string, handle: WorkflowHandle = this.workflow): Promise<OperationStatusView> {
    return this.untilStatus(({ waitingFor }) => waitingFor?.includes(text) === true, handle);
  }

  private untilStatus(
    isSo: (status: OperationStatusView) => boolean,
    handle: WorkflowHandle,
  ): Promise<OperationStatusView> {
    const look = (): Promise<OperationStatusView | null> =>
      this.status(handle).catch((error: unknown) => {
        if (error instanceof WorkflowNotFoundError) return null;
        throw error;
      });
    return this.until(
      async () => {
        const status = await look();
        return status !== null && isSo(status) ? status : null;
      },
      async () => JSON.stringify(await look()),
    );
  }

  /** Waits until an activity was asked for so many times. */
  async called(name: Name, times = 1): Promise<void> {
    await this.until(
      () => Promise.resolve(this.of(name).length >= times || null),
      () => Promise.resolve(this.names.join(' ')),
    );
  }

  /** Waits until an activity is scheduled, or, after failures, scheduled for that attempt: then its time can be passed. */
  async pending(name: Name, handle: BaseWorkflowHandle<Workflow> = this.workflow, attempt = 1): Promise<void> {
    await this.until(
      async () => {
        const { pendingActivities } = (await (handle as WorkflowHandle).describe()).raw;
        const ofName = pendingActivities?.filter(({ activityType }) => activityType?.name === name) ?? [];
        return ofName.some((activity) => (activity.attempt ?? 1) >= attempt) || null;
      },
      () => Promise.resolve(this.names.join(' ')),
    );
  }

  async until<T>(look: () => Promise<T | null>, told: () => Promise<string>): Promise<T> {
    const since = Date.now();
    for (;;) {
      const seen = await look();
      if (seen !== null) return seen;
      if (Date.now() > since + DEADLINE_MS) throw new Error(`it did not come: ${await told()}`);
      await pause(since);
    }
  }

  /** What a test holds back has no time limit: the activity heartbeats, unless it falls silent. */
  async perform(call: Call): Promise<unknown> {
    this.calls.push(call);
    const activity = (this.activities[call.name] ?? wellBehaved[call.name]) as (input: unknown) => Promise<unknown>;
    const context = Context.current();
    const beat = setInterval(() => {
      if (!silent.has(context)) context.heartbeat({});
    }, BEAT_MS);
    try {
      return await activity(call.input);
    } finally {
      clearInterval(beat);
    }
  }
}

/** A failure as activities throw it: with a code, and final unless said otherwise. */
export function failure(code: ErrorCode, message: string, retryable = false): ApplicationFailure {
  return ApplicationFailure.create({
    type: code,
    message,
    nonRetryable: !retryable,
    details: [{ hint: 'do something' }],
  });
}

/** The failure of a workflow, by what a client sees. */
export async function failureOfWorkflow(
  handle: BaseWorkflowHandle<Workflow>,
): Promise<{ type: string | undefined; message: string }> {
  try {
    const result: unknown = await handle.result();
    throw new Error(`it ended well: ${JSON.stringify(result)}`);
  } catch (error) {
    let cause = error as Error;
    while (cause.cause instanceof Error || (cause.cause as Error | undefined)?.message) cause = cause.cause as Error;
    return { type: (cause as { type?: string }).type ?? cause.name, message: cause.message };
  }
}

/** Ids of the children that a workflow has started. */
export async function childrenOf(handle: WorkflowHandle): Promise<readonly string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(
    ({ startChildWorkflowExecutionInitiatedEventAttributes: child }) => child?.workflowId ?? [],
  );
}

/** An activity under way that ends when it is cancelled. */
export function untilCancelled(): Promise<never> {
  return Context.current().cancelled;
}

/** The same, which may also end by itself. */
export function unlessCancelled<T>(run: Promise<T>): Promise<T> {
  return Promise.race([Context.current().cancelled, run]);
}

/** An activity whose worker is lost: it sends no heartbeat, and does not end before the tests of its file. */
export function fallsSilent(): Promise<never> {
  silent.add(Context.current());
  return new Promise<never>((_resolve, reject) => {
    onCleanup(async () => reject(new Error('the tests are over')));
  });
}

/** Something a test lets go on when it wants to. */
export function gate(): { readonly passed: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}
