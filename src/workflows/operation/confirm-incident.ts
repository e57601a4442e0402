import { getExternalWorkflowHandle, log } from '@temporalio/workflow';
import { signalNames } from '../../domain/operation/names.js';

/** Who confirms an incident when a plan is approved: from then on things are changed. */
export const APPROVAL = 'approval';

/** The table of an incident may take writes again, though its repair still watches the rows. */
export async function tellRepaired(incident: string): Promise<void> {
  await getExternalWorkflowHandle(incident)
    .signal(signalNames.repaired)
    .catch(() => log.info('the incident is closed already'));
}

/** The table of an incident takes no writes from now on. */
export async function tellBlocked(incident: string): Promise<void> {
  await getExternalWorkflowHandle(incident)
    .signal(signalNames.writesBlocked)
    .catch(() => log.info('the incident is closed already'));
}

/** Approving a plan confirms the incident. One that has ended meanwhile needs no signal. */
export async function confirmIncident(incident: string, { digest }: { readonly digest: string }): Promise<void> {
  const reason = `plan ${digest.slice(0, 12)} was approved`;
  await getExternalWorkflowHandle(incident)
    .signal(signalNames.confirm, { by: APPROVAL, reason })
    .catch(() => log.info('the incident is closed already'));
}
