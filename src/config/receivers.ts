import type { Config } from '../domain/config.js';
import { engineKinds } from '../engines/registry.js';

/** A policy whose WAL a worker receives all the time. */
export interface ReceivingPolicy {
  readonly cluster: string;
  readonly policy: string;
}

/** Enabled policies for which WAL is to be received. */
export function receivingPolicies(config: Config): readonly ReceivingPolicy[] {
  return Object.values(config.clusters).flatMap((cluster) =>
    Object.values(cluster.policies)
      .filter(({ enabled, engine, options }) => enabled && engineKinds[engine]?.receives?.(options) === true)
      .map(({ name }) => ({ cluster: cluster.name, policy: name })),
  );
}
