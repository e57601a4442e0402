import type { IncidentInput, IncidentOutput } from '../api.js';
import { runOperation } from '../operation/operation-status.js';
import { InstanceLoss } from './instance-loss.js';
import { TableCorruption } from './table-corruption.js';

/** An incident, from suspicion to its document; what is done in between depends on the scenario. */
export async function incident(input: IncidentInput): Promise<IncidentOutput> {
  const one = input.scenario === 'table-corruption' ? new TableCorruption(input) : new InstanceLoss(input);
  return runOperation(one.frame.operation.status, () => one.run());
}
