import { describe, expect, it } from '@jest/globals';
import {
  failedRepairDetails,
  repairApprovalDetails,
  repairDetails,
  repairedDetails,
  repairCommand,
  repairOutcomeText,
  takeConflictsCommand,
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

  it('T7: the command that makes such a plan again changes no other rows: scope, key, policy and rule are in it', () => {
    const scope = [
      { column: 'pris le', from: '2026-11-21', below: '2026-11-22' },
      { column: 'statut', in: ["l'un", null] },
    ];
    const source = { ...order.source, policy: 'physical' };
    const binding = { cluster: 'mairie', order: { ...order, source, scope, key: ['id'], batchRows: 100 } };
    const limited = String.raw`reprise table repair mairie mairie metier.demandes_rdv --xid 732 --policy physical --key id --where-range 'pris le=2026-11-21..2026-11-22' --where-in 'statut=l'\''un' --where-null statut`;
    expect(repairCommand(binding)).toBe(`${limited} --batch-rows 100`);
    expect(takeConflictsCommand(binding)).toBe(`${limited} --conflicts take --batch-rows 100`);
    const keys = { rule: 'keys' as const, keys: [['7'], ['a', null]] };
    expect(repairCommand({ cluster: 'mairie', order: { ...order, conflicts: keys } })).toMatch(
      / --take-key 7 --take-key '\["a",null\]'$/,
    );
  });

  it('T7: no rule for conflicts is offered where none would put them right', () => {
    const undone = { ...order, source: { kind: 'repair', operationId: 'op' } } as const;
    const state = { ...order, source: { kind: 'state', at: { kind: 'latest' } }, strategy: 'upsert' } as const;
    for (const one of [undone, state, { ...order, conflicts: { rule: 'take' } } as const])
      expect(takeConflictsCommand({ cluster: 'mairie', order: one })).toBeNull();
  });
});
