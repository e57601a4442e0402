import { type Finding, warning } from '../../domain/findings.js';
import { lightQueue } from '../../domain/operation/names.js';
import { parseIdentity } from '../../domain/operation/worker-identity.js';
import { livingWorkers } from '../config-drift.js';
import type { PolledQueue } from '../pollers.js';

/**
 * Who polls our queues and is no worker of ours, as far as names tell: whoever may poll a queue of a host is taken for the
 * host, and can answer that a backup was made or verified. One finding for each queue and stranger, and one for each host
 * that several machines serve.
 */
export function unknownPollers(queues: readonly PolledQueue[]): readonly Finding[] {
  const strangers = new Map<string, Finding>();
  for (const { queue, host, pollers } of queues) {
    // A worker polls all queues of its host: who polls one of them alone has only taken the name of a worker.
    const ofHost = host === null ? null : new Set(queues.find((one) => one.queue === lightQueue(host))?.seen);
    for (const { identity } of pollers) {
      if (parseIdentity(identity) !== null && (ofHost === null || ofHost.has(identity))) continue;
      strangers.set(`${queue} ${identity}`, stranger(queue, identity));
    }
  }
  return [...strangers.values(), ...machinesOfHosts(queues)];
}

const LONGEST_NAME = 200;

function stranger(queue: string, identity: string): Finding {
  const name = identity === '' ? 'a program without a name' : identity.slice(0, LONGEST_NAME);
  return warning(
    `worker/${queue}/pollers`,
    `the queue ${queue} is polled by ${name}, which is no worker of Reprise for it: what it answers counts as the answer of a worker`,
    'find out who that is, and end it; only workers may reach the Temporal server: docs/security.md shows TLS and authorization',
  );
}

/** A host is one machine. A worker that was replaced by one on another machine is no longer among the living. */
function machinesOfHosts(queues: readonly PolledQueue[]): readonly Finding[] {
  return queues.flatMap(({ queue, host, pollers }) => {
    if (host === null || queue !== lightQueue(host)) return [];
    const machines = [...new Set(livingWorkers(pollers).map(({ worker }) => worker.replace(/^\d+@/, '')))];
    if (machines.length < 2) return [];
    return [
      warning(
        `host/${host}/machines`,
        `workers of host ${host} run on ${machines.length} machines: ${machines.join(', ')}`,
        `a host is one machine, on which its files are: stop the worker of host ${host} on the others, or find out who started it`,
      ),
    ];
  });
}
