import { Context } from '@temporalio/activity';
import type { Config, HostConfig } from '../../domain/config.js';
import { queryNames, slotsWorkflowId, workflowTypes } from '../../domain/operation/names.js';
import type { HostSlot, SlotClaim, SlotKind, SlotView } from '../../domain/operation/slots.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ControlActivities } from '../api.js';
import { hostOf } from '../config-lookup.js';
import { type LeaseResource, acquireLease, askOperations, releaseLease } from './leases.js';

/** Workflows that take a slot of a host. */
const TAKING = [
  workflowTypes.backup,
  workflowTypes.rotate,
  workflowTypes.verify,
  workflowTypes.adopt,
  workflowTypes.recover,
  workflowTypes.media,
  workflowTypes.verifyMedia,
  workflowTypes.compareTable,
  workflowTypes.locateTable,
  workflowTypes.blastRadius,
  workflowTypes.explore,
  workflowTypes.repairTable,
];

/** The capacity that a claim knows which is granted whoever holds. */
const BEYOND_THE_LIMIT = Number.MAX_SAFE_INTEGER;

/** The slots of hosts as activities: they carry requests to the workflow that gives them out. How many there are says the configuration. */
export function slotActivities(config: Config): Pick<ControlActivities, 'acquireSlot' | 'releaseSlot' | 'slotHolders'> {
  const capacityOf = ({ host, kind }: HostSlot): number => slotsOf(hostOf({ config, host }))[kind];
  return {
    acquireSlot: wrapActivity('acquireSlot', async ({ host, kind, owner, resumes }) => {
      const capacity = resumes ? BEYOND_THE_LIMIT : capacityOf({ host, kind });
      const claim = { ...owner, host, kind, capacity };
      return acquireLease<SlotClaim>(Context.current().client, slotsResource({ host, kind }), { claim, waits: true });
    }),
    releaseSlot: wrapActivity('releaseSlot', async ({ host, kind, owner }) =>
      releaseLease(Context.current().client, slotsResource({ host, kind }), owner),
    ),
    slotHolders: wrapActivity('slotHolders', async ({ host, kind }) => {
      const capacity = capacityOf({ host, kind });
      const { client } = Context.current();
      const asked = await askOperations<SlotView>(client, { types: TAKING, query: queryNames.slot, known: [] });
      // One that does not say is left out: an operation too many is load, and no damage.
      const ours = asked.filter(({ view }) => view?.slot?.host === host && view.slot.kind === kind);
      return {
        held: ours.flatMap(({ view }) => (view?.grant ? [{ ...view.grant, capacity }] : [])),
        waiting: ours.flatMap(({ owner, view }) => (view?.grant ? [] : [owner])),
        silent: asked.flatMap(({ owner, view }) => (view === null ? [owner] : [])),
      };
    }),
  };
}

const slotsOf = ({ heavySlots, recoverySlots, mediaSlots }: HostConfig): Readonly<Record<SlotKind, number>> => ({
  heavy: heavySlots,
  recovery: recoverySlots,
  media: mediaSlots,
});

const slotsResource = ({ host, kind }: HostSlot): LeaseResource => ({
  workflowType: workflowTypes.slots,
  workflowId: slotsWorkflowId(host, kind),
  input: { host, kind },
  summary: `who has the ${kind} slots of host ${host}`,
});
