import { senderInWords } from '../../domain/approval/approval-policy.js';
import { askedText, parseNote, readRejection } from '../../domain/approval/parse-decisions.js';
import type { Rejection, SentBy } from '../../domain/plan/plan.js';
import { senderOf } from '../approval/sender.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { RepriseError } from '../../domain/errors.js';
import { inspectDataDir } from '../../postgres/server/data-directory.js';
import { type ProbeResult, probe } from '../../postgres/connection/probe.js';
import type { HostActivities, WatchFinding } from '../api.js';
import type { Diagnosis } from '../../domain/operation/inspections.js';
import type { HostDependencies } from '../dependencies.js';
import { wrapActivity } from '../activity-wrapper.js';
import { openClusterContext, postgresBinOf, record } from '../cluster-context.js';
import { recordTold, teller, toldName } from '../told.js';
import { CanaryWriter } from './canary-writer.js';
import { noteAnswers, noteFailing } from './failing.js';

const DEFAULT_WATCH = { everySeconds: 10, failures: 3 };
/** Before the activity's time-out: the watch goes on in a new one, and its history stays small. */
const LONGEST_MS = 50 * 60_000;

export function watchingActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'confirmWorker' | 'watchCluster' | 'diagnose' | 'journal' | 'recordIncident'> {
  return {
    confirmWorker: wrapActivity('confirmWorker', async () => undefined),
    watchCluster: wrapActivity('watchCluster', async (look, run) => {
      const { cluster: name, down, unknown = false } = look;
      const clusterContext = await openClusterContext(deps, name);
      const { cluster, host } = clusterContext;
      const { everySeconds, failures } = cluster.watch ?? DEFAULT_WATCH;
      const until = Date.now() + LONGEST_MS;
      const inARow = new InARow();
      const canary = new CanaryWriter(clusterContext);
      while (Date.now() < until) {
        const startedAt = new Date().toISOString();
        const seen = await probe(cluster.connection);
        const { count, since } = inARow.add(seen, startedAt);
        if (seen.ok) {
          await noteAnswers(host.stateDir, name);
          await canary.write();
          if (down || unknown) return { state: 'up', layer: null, reason: 'answers', since } satisfies WatchFinding;
        } else if (seen.fix !== undefined) {
          // The server is there and refuses us: that is no loss of it, and no sign that it works.
          if (!look.refused && count >= failures) return { state: 'cannot-look', ...found(seen), since };
        } else {
          await noteFailing(host.stateDir, name, since);
          if ((!down || unknown) && count >= failures) return { state: 'down', ...found(seen), since };
        }
        await sleep(everySeconds * 1000, undefined, { signal: run.signal });
      }
      return null;
    }),
    diagnose: wrapActivity('diagnose', async ({ cluster }) => diagnoseCluster(deps, cluster)),
    journal: wrapActivity('journal', async (step) => {
      // What a person sent: whoever sent it stands beside the name in it.
      const says = (raw: unknown): boolean => linesOf(step.sentBy, raw).includes(step.text);
      const sent = senderInWords(await senderOf(step.sentBy, says));
      const text = sent === '' ? step.text : `${step.text} (${sent})`;
      await recordTold(await openClusterContext(deps, step.cluster), step, { step: step.step, text });
    }),
    recordIncident: wrapActivity('recordIncident', async (step) => {
      const { scenario, text, by } = step;
      const state = incidentState(step.state);
      // The incident is that of the workflow that called, whatever it says it is.
      const toldBy = teller();
      const clusterContext = await openClusterContext(deps, step.cluster);
      const sender = await senderOf(step.sentBy, (raw) => isSaidBy(readRejection(raw), { by, reason: text }));
      await record(
        clusterContext,
        step,
        await toldName(clusterContext, step.operationId, toldBy, `incident/${state}/${text}`),
        { kind: 'incident', incidentId: toldBy, scenario, state, text, toldBy, ...(sender && { sender }) },
        by,
      );
    }),
  };
}

type Failed = Extract<ProbeResult, { ok: false }>;

const found = ({ layer, reason, fix }: Failed): Pick<WatchFinding, 'layer' | 'reason' | 'fix'> => ({
  layer,
  reason,
  ...(fix !== undefined && { fix }),
});

/** How often in a row a check came to the same end: it answers, it refuses the login, it fails. */
class InARow {
  private last = '';
  private count = 0;
  private since = '';

  add(seen: ProbeResult, at: string): { readonly count: number; readonly since: string } {
    const end = seen.ok ? 'answers' : seen.fix === undefined ? 'fails' : 'refused';
    this.count = end === this.last ? this.count + 1 : 1;
    if (end !== this.last) this.since = at;
    this.last = end;
    return { count: this.count, since: this.since };
  }
}

const isSaidBy = (one: Rejection, other: Rejection): boolean => one.by === other.by && one.reason === other.reason;

/** What workflows write into the journal for a message: a note, or what was asked for. */
function linesOf(sentBy: SentBy | undefined, raw: unknown): readonly string[] {
  const asked = sentBy !== undefined && 'signal' in sentBy ? [askedText(sentBy.signal, raw)] : [];
  const parsed = parseNote(raw);
  return 'problem' in parsed ? asked : [...asked, `${parsed.by}: ${parsed.text}`];
}

const incidentStates = z.enum(['suspected', 'confirmed', 'undecided', 'closed', 'dismissed']);

/** @throws RepriseError `usage` for what is no state of an incident */
function incidentState(told: string): z.infer<typeof incidentStates> {
  const read = incidentStates.safeParse(told);
  if (read.success) return read.data;
  throw new RepriseError('usage', `${JSON.stringify(told.slice(0, 40))} is no state of an incident`);
}

const diagnosisOf = ({ reason, fix }: Failed): string =>
  fix === undefined ? reason : `the server is there and refuses the login: ${reason} — ${fix}`;

/** Which layer is down, and what is left on disk. Changes nothing. */
export async function diagnoseCluster(deps: HostDependencies, name: string): Promise<Diagnosis> {
  const clusterContext = await openClusterContext(deps, name);
  const seen = await probe(clusterContext.cluster.connection);
  const left = clusterContext.cluster.dataDir
    ? await inspectDataDir(await postgresBinOf(clusterContext), clusterContext.cluster.dataDir, clusterContext.user)
    : null;
  return {
    answers: seen.ok,
    layer: seen.ok ? null : seen.layer,
    reason: seen.ok ? 'answers' : diagnosisOf(seen),
    dataDirectory: left?.state ?? 'unknown',
    walReadable: left?.walReadable ?? false,
  };
}
