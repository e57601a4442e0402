import { type SlotClaim, slotRule } from '../../domain/operation/slots.js';
import type { SlotsInput } from '../api.js';
import { controlActivities } from '../operation/activity-proxies.js';
import { continueOnCurrentBuild } from '../operation/continue-as-new.js';
import { LeaseServer } from './lease-server.js';

/**
 * Which operations have the slots of one kind of a host, and which wait for one. An operation takes its slot before it locks its
 * cluster, so that nobody holds a cluster while it waits for another cluster's backup.
 */
export async function hostSlots({ host, kind, state }: SlotsInput): Promise<void> {
  const server = new LeaseServer<SlotClaim>(slotRule, state, async () => {
    const { held, waiting } = await controlActivities.slotHolders({ host, kind });
    return { held, waiting, lastToken: 0 };
  });
  const ended = await server.serve();
  if (ended !== 'idle') await continueOnCurrentBuild<typeof hostSlots>({ host, kind, state: ended.continueWith });
}
