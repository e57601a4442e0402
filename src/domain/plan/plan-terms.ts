import { linesToAdd } from '../approval/approval-policy.js';
import type { ApprovalPolicy, ClusterConfig, Config } from '../config.js';
import { RepriseError } from '../errors.js';
import type { RecoveryOrder } from '../operation/orders.js';
import { type RecoveryPlace, recoveryPlace } from './recovery-place.js';
import type { PlannedThaw } from './thaw.js';

/** One recovery that a plan is made for. */
export interface PlanningRequest {
  readonly operationId: string;
  readonly order: RecoveryOrder;
  readonly requester: string;
  /** Digest of the configuration of the control worker, which runs the workflow. */
  readonly controlDigest?: string;
  /** For a recovery onto another host: whether the source host has a worker. */
  readonly sourceAnswers?: boolean;
  /** Approved with an earlier plan of the same recovery. */
  readonly approvedThaw?: PlannedThaw;
}

/** What the configuration of a host says of a recovery. */
export interface PlanTerms {
  readonly cluster: ClusterConfig;
  /** The host that makes the plan. */
  readonly host: string;
  readonly place: RecoveryPlace;
  readonly approval: ApprovalPolicy;
  readonly configDigest: string;
  /** The host that owns the repository of the catalogue; absent where every host reaches it. */
  readonly catalogueHost?: string;
}

/**
 * Reads the terms of a recovery from the configuration, before anything is looked at.
 * @throws RepriseError `policy-missing`, `not-found`, `config-invalid`
 */
export function planTerms(config: Config, host: string, cluster: ClusterConfig, into: string): PlanTerms {
  const approval = cluster.approvals['recover'];
  if (!approval)
    throw new RepriseError(
      'policy-missing',
      `no policy says who may approve a recovery of ${cluster.name}`,
      linesToAdd('recover', cluster.name),
    );
  const place = recoveryPlace(cluster, into);
  if (place.host !== host) {
    throw new RepriseError(
      'config-invalid',
      `host ${host} was asked to recover ${cluster.name}, and by its own configuration ${into} is on host ${place.host}`,
      'use the same reprise.yml on both, then restart the workers: reprise doctor shows which differ',
    );
  }
  const catalogueHost = config.repositories[cluster.catalogue]?.host;
  return { cluster, host, place, approval, configDigest: config.digest, catalogueHost };
}
