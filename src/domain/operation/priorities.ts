import { workflowTypes } from './names.js';

/**
 * Which of two tasks that wait in one queue goes first; 1 is first. A workflow that was started without one, from the Web UI
 * for instance, has 3. Activities and children inherit it.
 */
const priorities: Readonly<Record<string, number>> = {
  [workflowTypes.recover]: 1,
  [workflowTypes.incident]: 1,
  [workflowTypes.lock]: 1,
  [workflowTypes.slots]: 1,
  [workflowTypes.media]: 2,
  [workflowTypes.explore]: 2,
  [workflowTypes.compareTable]: 2,
  [workflowTypes.repairTable]: 2,
  [workflowTypes.holdTable]: 2,
  [workflowTypes.locateTable]: 2,
  [workflowTypes.blastRadius]: 2,
  [workflowTypes.watch]: 2,
  [workflowTypes.archive]: 2,
  [workflowTypes.backup]: 4,
  [workflowTypes.rotate]: 4,
  [workflowTypes.verify]: 5,
  [workflowTypes.adopt]: 5,
  [workflowTypes.verifyMedia]: 5,
  [workflowTypes.drill]: 5,
};

const UNSAID = 3;

/** The priority with which a workflow of a type is started. */
export function priorityOf(workflowType: string): { readonly priorityKey: number } {
  return { priorityKey: priorities[workflowType] ?? UNSAID };
}
