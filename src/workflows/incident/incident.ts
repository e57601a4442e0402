import type { IncidentInput, IncidentOutput } from '../api.js';
import { runOperation } from '../operation/operation-status.js';
import { BadMigration } from './bad-migration.js';
import { InstanceLoss } from './instance-loss.js';
import { TableCorruption } from './table-corruption.js';

/** An incident, from suspicion to its document; what is done in between depends on the scenario. */
export async function incident(input: IncidentInput): Promise<IncidentOutput> {
  const one = scenarioOf(input);
  return runOperation(one.frame.operation.status, () => one.run());
}

function scenarioOf(input: IncidentInput): InstanceLoss | TableCorruption | BadMigration {
  switch (input.scenario) {
    case 'table-corruption':
      return new TableCorruption(input);
    case 'bad-migration':
      return new BadMigration(input);
    default:
      return new InstanceLoss(input);
  }
}
