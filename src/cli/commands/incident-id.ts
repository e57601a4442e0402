import { RepriseError } from '../../domain/errors.js';
import { workflowTypes } from '../../domain/operation/names.js';
import type { TemporalSession } from '../../client/connect.js';

/**
 * Workflow id of an open incident; its last part is enough.
 * @throws `not-found`, `conflict` where several end so.
 */
export async function findIncident(session: TemporalSession, given: string): Promise<string> {
  if (given.startsWith('incident/')) return given;
  const query = `WorkflowType = '${workflowTypes.incident}' AND ExecutionStatus = 'Running'`;
  const found: string[] = [];
  for await (const { workflowId } of session.client.workflow.list({ query })) {
    if (workflowId.endsWith(`/${given}`)) found.push(workflowId);
  }
  const [first, second] = found;
  if (first === undefined)
    throw new RepriseError('not-found', `no open incident is called ${given}`, 'see `reprise incident list`');
  if (second !== undefined)
    throw new RepriseError('conflict', `${given} may mean ${found.join(' or ')}`, 'give the whole id');
  return first;
}
