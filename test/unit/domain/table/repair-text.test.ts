import { describe, expect, it } from '@jest/globals';
import {
  failedRepairDetails,
  repairApprovalDetails,
  repairDetails,
  repairedDetails,
  repairOutcomeText,
} from '../../../../src/domain/table/repair-text.js';
import { repairOutcome, repairPlanOf } from '../../../workflows/repairs.js';

const table = { schema: 'metier', table: 'demandes_rdv' };
const order = { database: 'mairie', table, source: { kind: 'transaction', xid: '732' }, strategy: 'undo' } as const;
const plan = repairPlanOf(
  { cluster: 'mairie', operationId: 'op', requester: 'ops', order },
  { insert: 2, update: 1, delete: 0, conflicts: 4 },
);
const workflowId = 'table-repair/mairie/op';

describe('T7: a repair of a table on its page', () => {
  it('T7: shows the numbers first, what to paste, how to decline, and where the conflicts are read', () => {
    const text = repairApprovalDetails(plan);
    const places = [
      '**put back:** 2 rows',
      '4 rows that changed',
      '"plan":',
      `reprise reject ${workflowId} --reason`,
    ].map((part) => text.indexOf(part));
    expect(places).not.toContain(-1);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(text).toContain(`grep '"op":"conflict"' ${plan.observed.file}`);
    expect(repairApprovalDetails(repairPlanOf({ ...plan.binding, order }))).not.toContain('grep');
  });

  it('T7: says nothing of an approval once it is over', () => {
    for (const text of [
      repairDetails(plan),
      repairedDetails(plan, repairOutcome),
      failedRepairDetails(plan, repairOutcome, workflowId),
    ])
      expect(text).not.toMatch(/Send an Update|may approve|sign-off/);
    expect(failedRepairDetails(plan, repairOutcome, workflowId)).toContain(`reprise continue ${workflowId}`);
  });

  it('T7: conflicts of the plan are left as they are at its end too; remarks of people are no markup', () => {
    expect(repairOutcomeText(plan, repairOutcome)).toContain('4 rows that changed for another reason too');
    const signOff = { verdict: 'pass', by: 'qa', at: '2026-11-21T03:00:00Z', remarks: '[all](there)' } as const;
    const text = repairedDetails(plan, { ...repairOutcome, signOff });
    expect(text).toContain('4 rows that changed for another reason too');
    expect(text).toContain('\\[all\\](there)');
    expect(text).toContain(`reprise incident report ${workflowId}`);
  });
});
