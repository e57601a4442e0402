import type { ClusterConfig, PolicyConfig } from '../domain/config.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { sizeInWords } from '../domain/text/text.js';
import { engineOf } from '../engines/loaded-engines.js';
import type { Server } from './server.js';

/** What a receiver that keeps up leaves behind itself: some segments at the most. */
const LAG_BYTES = 256 * 1024 * 1024;
const OURS = 'reprise_';

/** Policies whose WAL a worker receives, with the slot of each. */
function receivers(cluster: ClusterConfig): readonly { readonly policy: PolicyConfig; readonly slot: string }[] {
  return Object.values(cluster.policies).flatMap((policy) => {
    const { receiver } = engineOf(policy.engine);
    return policy.enabled && receiver?.wanted(policy.options) === true
      ? [{ policy, slot: receiver.slot({ cluster, policy }) }]
      : [];
  });
}

/** Whether received WAL comes, and what the server keeps for who does not fetch it. */
export function slotFindings(cluster: ClusterConfig, { slots, slotLimitBytes }: Server): readonly Finding[] {
  const wanted = receivers(cluster);
  const check = `cluster/${cluster.name}/archiving`;
  const findings = wanted.map(({ policy, slot }): Finding => {
    const start = `reprise schedule apply starts archive/${cluster.name}/${policy.name}; then see that a worker of host ${cluster.host} runs`;
    const state = slots.find(({ name }) => name === slot);
    const what = `cluster ${cluster.name}: WAL of policy ${policy.name}`;
    if (state === undefined)
      return problem(check, `${what} is not received: there is no replication slot ${slot}`, start);
    const kept = `${sizeInWords(state.keptBytes)} kept in pg_wal`;
    if (state.lost)
      return problem(
        check,
        `${what} has a gap: the server removed WAL before ${slot} received it`,
        `start the receiver, then take a new backup: reprise backup run ${cluster.name} --policy ${policy.name}`,
      );
    if (!state.active)
      return problem(check, `${what} is not received: no connection uses slot ${slot}, ${kept}`, start);
    if (state.keptBytes > LAG_BYTES)
      return warning(
        check,
        `${what} is received too slowly: ${kept} for ${slot}`,
        'see that the scratch directory and the repository have free space, and how fast the network is',
      );
    return ok(check, `${what} is received by ${slot}, ${kept}`);
  });
  if (wanted.length > 0 && slotLimitBytes === null) {
    findings.push(
      warning(
        `cluster/${cluster.name}/max_slot_wal_keep_size`,
        `cluster ${cluster.name}: a receiver that stops would fill pg_wal until the server stops too`,
        "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();",
      ),
    );
  }
  const abandoned = slots.filter(
    ({ name, active }) => name.startsWith(OURS) && !active && !wanted.some(({ slot }) => slot === name),
  );
  return [
    ...findings,
    ...abandoned.map(({ name, keptBytes }) =>
      warning(
        `cluster/${cluster.name}/slots/${name}`,
        `cluster ${cluster.name}: slot ${name} belongs to no policy, and the server keeps ${sizeInWords(keptBytes)} of WAL for it`,
        `SELECT pg_drop_replication_slot('${name}');`,
      ),
    ),
  ];
}
