import { expect, it } from '@jest/globals';
import { migrationIncidentReport, tableIncidentReport } from '../../../src/reports/incident/report.js';
import { hostileRepair, sampleRepair } from '../../helpers/repair-sample.js';
import { migrationFindings, migrationTime } from '../../workflows/repairs.js';

const workflowId = 'incident/mairie/table-corruption/op';
const facts = {
  ...{ cluster: 'mairie', workflowId, discoveredAt: '2026-11-21T03:30:00.000Z' },
  incident: {
    ...{ id: workflowId, scenario: 'table-corruption', state: 'closed', operationId: 'op' },
    ...{ openedAt: '2026-11-21T03:31:00.000Z', updatedAt: '2026-11-21T05:10:00.000Z' },
    history: [{ at: '2026-11-21T03:35:00.000Z', state: 'confirmed', text: 'seen', by: 'dba' }],
  },
  journal: [],
  ...{ approvals: [], refusals: [] },
  blocks: [
    { since: '2026-11-21T04:10:00.000Z', openedAt: '2026-11-21T05:01:00.000Z' },
    { since: '2026-11-21T03:40:00.000Z', openedAt: '2026-11-21T05:00:00.000Z' },
  ],
};
const table = { schema: 'metier', table: 'demandes_rdv' };
const repaired = (sample: typeof sampleRepair, operationId = 'op-1') => ({
  ...{ operationId, plan: sample.plan, outcome: { ...sample.outcome, report: 'incidents/mairie/op-1.md' } },
});

it('T8: the document of a table names the transaction, the rows, the times and what is left to do; without a repair it says so', () => {
  const input = { ...facts, order: { database: 'mairie', table }, repair: 'op-1', repairs: [repaired(sampleRepair)] };
  const { markdown, html } = tableIncidentReport(input, 'en');
  for (const text of [
    '`1234`',
    '| lost by the damage, and put back | 30000 |',
    '| changed for another reason too, and left to people | 3 |',
    'Decide on 3 rows',
    '--repair op-1',
    'Write down the probable cause',
    '| writes blocked | 2026-11-21T03:40:00.000Z |',
    '| writes open again | 2026-11-21T05:01:00.000Z |',
  ])
    expect(markdown).toContain(text);
  expect(html).toMatch(/<td[^>]*>(<[a-z]+>)?30000/);
  expect(markdown).toContain('and 3 left for people');
  const none = tableIncidentReport({ ...input, repair: null, repairs: [] }, 'fr').markdown;
  expect(none).toContain('Closed without a repair');
  const still = { ...input, blocks: [...facts.blocks, { since: '2026-11-21T06:00:00.000Z', openedAt: null }] };
  expect(tableIncidentReport(still, 'en').markdown).not.toContain('| writes open again |');
  expect(none).not.toMatch(/undefined|null|NaN/);
});

it('K5: the document of a migration has rows and definitions of both sides, and what was chosen', () => {
  const input = {
    ...{ ...facts, order: { database: 'mairie' }, time: migrationTime, findings: migrationFindings },
    ...{ recovery: null, repairs: [repaired(sampleRepair)] },
  };
  const { markdown } = migrationIncidentReport(input, 'en');
  for (const text of [
    '| `metier.demandes_rdv` | 90000 | 60000 |',
    '0042_drop_phone',
    'Tables repaired',
    '11 tables had',
  ])
    expect(markdown).toContain(text);
  const unknown = migrationIncidentReport({ ...input, findings: null, repairs: [] }, 'en').markdown;
  expect(unknown).toContain('could not be compared');
  expect(unknown).not.toMatch(/undefined|null|NaN/);
});

it('F39: names and texts of others stay text in both forms', () => {
  const { order } = hostileRepair.plan.binding;
  const { markdown, html } = tableIncidentReport(
    {
      ...facts,
      order: { database: order.database, table: order.table },
      repair: 'op-1',
      repairs: [repaired(hostileRepair)],
    },
    'en',
  );
  expect(html).not.toContain('<script>');
  expect(markdown.replaceAll(/`[^`]*`/g, '')).not.toMatch(/[^\\]<script>/);
});
