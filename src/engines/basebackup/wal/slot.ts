import { createHash } from 'node:crypto';
import type pg from 'pg';
import { RepriseError } from '../../../domain/errors.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { physicalSlots } from '../../../postgres/server/replication-slots.js';
import type { SlotState } from '../../../postgres/server/replication-slots.js';
import type { ReadContext } from '../../engine.js';
import { optionsOf, receivesWal } from '../options.js';

const LONGEST_NAME = 63;

/** The slot of a policy, unique in its cluster. */
export function slotName(context: Pick<ReadContext, 'cluster' | 'policy'>): string {
  const { cluster, policy } = context;
  const chosen = optionsOf(context).slot;
  if (chosen !== undefined) return chosen;
  const whole = `reprise_${cluster.name}_${policy.name}`;
  const plain = whole.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
  if (plain.length <= LONGEST_NAME) return plain;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return `${plain.slice(0, LONGEST_NAME - 1 - hash.length)}_${hash}`;
}

/**
 * Two policies that fetch from one slot would take each other's WAL.
 * @throws RepriseError `config-invalid`
 */
function requireOwnSlot(context: Pick<ReadContext, 'cluster' | 'policy'>): void {
  const { cluster, policy } = context;
  const slot = slotName(context);
  const other = Object.values(cluster.policies).find(
    (one) =>
      one.name !== policy.name &&
      one.engine === policy.engine &&
      receivesWal(one.options) &&
      slotName({ cluster, policy: one }) === slot,
  );
  if (other === undefined) return;
  throw new RepriseError(
    'config-invalid',
    `policies ${policy.name} and ${other.name} would share the replication slot ${slot}`,
    'give one of them a slot of its own: options.slot',
  );
}

/** The policy's slot; null where there is none. */
export async function slotState(client: pg.ClientBase, name: string): Promise<SlotState | null> {
  return (await physicalSlots(client)).find((slot) => slot.name === name) ?? null;
}

/**
 * Makes the slot where there is none, or in place of one whose WAL is lost: from now on the server keeps what is not
 * fetched.
 * @returns whether it was made now: what was fetched before does not lead on to it
 */
export async function ensureSlot(context: Pick<ReadContext, 'cluster' | 'policy'>): Promise<boolean> {
  requireOwnSlot(context);
  const { connection } = context.cluster;
  const name = slotName(context);
  return withMaintenance(connection, async (client) => {
    // A standby's slot would keep WAL there for nobody; a recovering server gets one when it is open.
    const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
    if (rows[0]?.standby === true) return false;
    const state = await slotState(client, name);
    if (state !== null && !state.lost) return false;
    if (state !== null) await client.query('SELECT pg_drop_replication_slot($1)', [name]);
    await client.query('SELECT pg_create_physical_replication_slot($1, true)', [name]);
    return true;
  });
}
