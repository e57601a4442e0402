import { type ActionBinding, type ActionPlan, DROPS_FIRST, clusterForStorage } from '../../domain/approval/actions.js';
import { mayApprove, whyNobodyApproves } from '../../domain/approval/approval-policy.js';
import type { AdoptionLine } from '../../domain/backup/adoption.js';
import type { Backup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import type { ActionOrder } from '../../domain/operation/orders.js';
import { diffOf, storageChanges } from '../../domain/storage/storage-plan.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { sizeInWords } from '../../domain/text/text.js';
import { replicationInWords } from '../../postgres/old-data/kept-replication.js';
import { planDigest, sha256Hex } from '../../records/digest.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { OrderedStep } from '../api.js';
import { policyFor } from '../approval/authorize.js';
import { surveyAdoption } from '../backup/adopt.js';
import { type ClusterContext, currentBackups } from '../cluster-context.js';
import { droppableItem } from '../inspection/kept-data.js';
import { planStorage } from '../inspection/storage.js';

export type ActionRequest = OrderedStep<ActionOrder> & { readonly requester: string };

/** What an order comes to on this host. */
interface Found extends Pick<ActionBinding, 'subject' | 'found'> {
  readonly facts: ActionPlan['observed']['facts'];
  readonly empty?: boolean;
}

type Finder<K extends ActionOrder['kind']> = (
  clusterContext: ClusterContext,
  order: Extract<ActionOrder, { kind: K }>,
  run: ActivityRun,
) => Promise<Found>;

const finders: { readonly [K in ActionOrder['kind']]: Finder<K> } = {
  'kept-drop': async (clusterContext, { id }) => {
    const { item, kept, stays, replication } = await droppableItem(clusterContext, id);
    const { where, mark, parts } = kept;
    return {
      subject: id,
      found: { where, mark, ...(parts && { parts }), ...(replication && { replication }) },
      facts: [
        ['what', item.what],
        ...(replication === null ? [] : replicationInWords(replication)).map((text) => [DROPS_FIRST, text] as const),
        ['where', `${where} on host ${item.host}`],
        ...(parts ?? []).map((part) => ['with', part.where] as const),
        ...stays.map((place) => ['not removed', `${place}, which it leads to`] as const),
        ['kept since', item.since],
      ],
    };
  },

  release: async (clusterContext, { id }, run) => {
    const { heldUntil, startedAt, sizeBytes } = await backupNamed(clusterContext, id, run);
    return {
      subject: id,
      found: { heldUntil },
      facts: [
        ['held until', heldUntil ?? 'not held'],
        ['backup of', `${startedAt}, ${sizeInWords(sizeBytes)}`],
        ['then', 'rotation may remove it as its retention says'],
      ],
    };
  },

  'storage-apply': async (clusterContext, { repository }, run) => {
    const { deps, cluster } = clusterContext;
    const decides = clusterForStorage(deps.config, repository);
    if (decides !== cluster.name)
      throw new RepriseError(
        'usage',
        `the settings of ${repository} are decided on by the policies of cluster ${decides}, not of ${cluster.name}`,
        `reprise storage apply ${repository}`,
      );
    const plan = await planStorage(deps, repository, run);
    const [refusal, ...more] = plan.refusals;
    if (refusal !== undefined)
      throw new RepriseError(
        'lifecycle-refused',
        `${refusal.text}${more.length === 0 ? '' : ` (and ${more.length} more)`}: nothing was changed`,
        refusal.hint,
      );
    const changes = storageChanges(plan);
    return {
      subject: repository,
      found: { place: plan.place, settings: plan.digest },
      facts: [['where', plan.place], ...changes.map((setting) => [setting.name, diffOf(setting).join('; ')] as const)],
      empty: changes.length === 0,
    };
  },

  adopt: async (clusterContext, { policy, from }, run) => {
    const { adopt, policies, known, unlisted } = await surveyAdoption(clusterContext, { policy, from }, run);
    return {
      subject: clusterContext.cluster.name,
      found: {
        policies,
        names: Object.fromEntries(policies.map((one) => [one, namesFor(adopt, one)])),
        backups: sha256Hex(canonicalJson(adopt)),
        unlisted: unlisted ?? 0,
      },
      facts: [
        ['from', from === undefined ? 'what the engines list' : `import folder ${from}`],
        ['for policies', policies.join(', ') || 'none'],
        ['backups', `${adopt.length + (unlisted ?? 0)}, and ${known} known before`],
        ['then', 'each is read whole; none counts as verified for retention before it was restore-tested here'],
      ],
      empty: adopt.length === 0,
    };
  },
};

/** Says exactly what would be done. Reads only. */
export async function makeActionPlan(
  clusterContext: ClusterContext,
  request: ActionRequest,
  run: ActivityRun,
): Promise<ActionPlan> {
  const { cluster, deps } = clusterContext;
  const { order, operationId, requester } = request;
  const find = finders[order.kind] as Finder<ActionOrder['kind']>;
  const { subject, found, facts, empty = false } = await find(clusterContext, order, run);
  const binding: ActionBinding = {
    action: order.kind,
    operationId,
    cluster: cluster.name,
    targetHost: deps.host,
    subject,
    order,
    found,
    configDigest: deps.config.digest,
    requester,
  };
  const createdAt = new Date();
  const within = policyFor(cluster, { binding })?.approveWithinSeconds ?? 0;
  const policy = cluster.approvals[order.kind];
  const nobody = policy ? whyNobodyApproves(policy, requester) : null;
  return {
    digest: planDigest(binding),
    binding,
    observed: {
      facts: nobody === null ? facts : [['warning', nobody], ...facts],
      approval: policy ? { approvers: policy.approvers, from: mayApprove(policy, requester) } : null,
      empty,
    },
    createdAt: createdAt.toISOString(),
    approveBy: new Date(createdAt.getTime() + within * 1000).toISOString(),
  };
}

const namesFor = (adopt: readonly AdoptionLine[], policy: string): readonly string[] =>
  adopt.filter((line) => line.policy === policy).map(({ name }) => name);

/** @throws RepriseError `not-found` */
export async function backupNamed(clusterContext: ClusterContext, id: string, run: ActivityRun): Promise<Backup> {
  const backup = (await currentBackups(clusterContext, run)).find((candidate) => candidate.id === id);
  if (backup) return backup;
  throw new RepriseError('not-found', `there is no backup "${id}"`, 'list the backups: reprise backup list');
}
