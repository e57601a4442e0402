import { describe, expect, it } from '@jest/globals';
import type { NewRecord, RecoveryOutcome } from '../../../src/domain/backup/records.js';
import { foldRecords } from '../../../src/records/fold.js';
import { incidentDocument, type IncidentDocumentInput } from '../../../src/reports/incident-report.js';
import { golden } from '../../helpers/golden.js';
import { fact, numbered, samplePlan } from '../records/samples.js';

const operationId = '20261121t021500-7f3a';
const plan = samplePlan();
const outcome: RecoveryOutcome = {
  target: { requested: 'latest', reached: '0/5A000148' },
  rtoSeconds: 83.4,
  waitedForPeopleSeconds: 312,
  rpoSeconds: 0,
  lastCommitAt: '2026-11-21T02:14:58.201Z',
  lastLsn: '0/5A000148',
  phases: [
    { name: 'salvage', seconds: 2.1 },
    { name: 'restore', seconds: 55 },
    { name: 'replay', seconds: 20.2 },
  ],
  checks: [
    { name: 'row counts', status: 'passed', detail: '12 tables of 1 database, 235,021 rows as recorded' },
    { name: 'appointments', status: 'passed', detail: '200,000 rows' },
  ],
  report: 'mairie/incidents/x.md',
};

/** From records, as the activity makes it. */
function documentOf(facts: NewRecord[], more: Partial<IncidentDocumentInput> = {}): string {
  const state = foldRecords('mairie', numbered(...facts), new Date('2026-11-21T12:00:00Z'));
  return incidentDocument({
    cluster: 'mairie',
    operationId,
    plan,
    outcome,
    journal: state.journalOf(operationId),
    approvals: state.approvals,
    refusals: state.refusals,
    incident: state.incidents.get('i') ?? null,
    kept: state.kept,
    language: 'en',
    ...more,
  });
}

const at = (time: string, by = 'reprise') => ({ at: `2026-11-21T${time}Z`, by, operationId });
const incident = (state: string, text: string) =>
  ({ kind: 'incident', incidentId: 'i', scenario: 'instance-loss', state, text }) as const;
const journal = (step: string, text: string) =>
  ({ kind: 'journal', workflowId: 'recover/mairie/x', step, text }) as const;
const approval = (by: string, reason: string) =>
  ({
    kind: 'approval',
    digest: plan.digest,
    approval: { plan: plan.digest.slice(0, 12), by, reason },
    assurance: 'asserted',
  }) as const;
const refusal = (by: string, reason: string) =>
  ({ kind: 'refusal', digest: plan.digest, by, code: 'approval-refused', reason }) as const;
const kept = (where: string) =>
  ({ kind: 'kept', keptId: 'old-1', what: 'data directory', where, sizeBytes: 1_500_000_000, host: 'db1' }) as const;

const facts: NewRecord[] = [
  fact(
    incident('suspected', 'layer port: connection refused on 127.0.0.1:5432, 3 times in a row'),
    at('02:15:00', 'watch'),
  ),
  fact(journal('diagnose', 'base/ and global/ are gone, pg_wal can be read'), at('02:15:04')),
  fact(journal('plan', `plan ${plan.digest.slice(0, 12)} made`), at('02:15:10')),
  fact(refusal('eve', 'eve may not approve recover for mairie'), at('02:17:00', 'eve')),
  fact(approval('dba', 'instance is gone, recover'), at('02:20:22')),
  fact(incident('confirmed', 'recovery approved'), at('02:20:23')),
  fact(kept('/var/lib/postgresql/15/main.before-7f3a'), at('02:20:25')),
  fact(journal('restore', 'backup restored, 1.5 GB'), at('02:21:22')),
  fact(incident('closed', 'fresh backup verified'), at('02:25:00')),
];

const hostile = '# h|`x`\n[a](javascript:1) <img src=x> https://evil.example @all \u202e';
const cases: Record<string, string> = {
  recovered: documentOf(facts),
  'with-losses': documentOf(facts.slice(0, 5), {
    outcome: {
      ...outcome,
      rpoSeconds: 61.5,
      lastLsn: null,
      checks: [
        { name: 'appointments', status: 'failed', detail: '199,990 rows, 200,000 were recorded' },
        { name: 'site', status: 'skipped', detail: 'applications are stopped' },
      ],
    },
    plan: {
      ...plan,
      observed: { ...plan.observed, warnings: ['1 WAL segment could not be read'], predictedRtoSeconds: null },
    },
  }),
  rejected: documentOf([fact(incident('dismissed', 'planned maintenance'), at('02:16:00', 'ops'))], {
    plan: null,
    outcome: null,
  }),
  restart: documentOf([], {
    plan: samplePlan({ method: 'restart', backups: [], replaces: [] }),
    outcome: { ...outcome, checks: [], phases: [] },
  }),
  hostile: documentOf(
    [
      fact(incident('suspected', hostile), at('02:15:00', hostile)),
      fact(journal(hostile, hostile), at('02:15:01')),
      fact(approval(hostile, hostile), at('02:15:02')),
      fact(refusal(hostile, hostile), at('02:15:03', hostile)),
      fact(kept(hostile), at('02:15:04')),
    ],
    {
      outcome: {
        ...outcome,
        target: { requested: hostile, reached: hostile },
        checks: [{ name: hostile, status: 'passed', detail: hostile }],
      },
      plan: samplePlan({ requester: hostile }),
    },
  ),
};

describe('incident document (K6, S5)', () => {
  it.each(Object.keys(cases))('%s', async (name) => {
    expect(cases[name]).toBe(await golden(new URL(`golden/incident-${name}.md`, import.meta.url), cases[name] ?? ''));
  });

  it('F35: no name or reason becomes markup, a link, HTML, a heading or a cell', () => {
    const text = cases['hostile'] ?? '';
    const outsideCode = text.replaceAll('\\`', '').replace(/(`+)(?:(?!\1).|\n)*?[^`]\1(?!`)/g, 'CODE');
    expect(outsideCode).not.toMatch(/(?<!\\)<img|(?<!\\)\[a\]|(?<!\\):\/\/|(?<!\\)@|\u202e/);
    expect(
      text
        .split('\n')
        .filter((line) => line.startsWith('#'))
        .every((line) => /^##? [A-Z]/.test(line)),
    ).toBe(true);
    // Every row of a table has the cells of its head: bars that are not escaped are the table's own.
    const cells = (line: string) => line.replace(/\\\|/g, '').split('|').length;
    let head = 0;
    for (const line of text.split('\n')) {
      if (!line.startsWith('|')) head = 0;
      else if (head === 0) head = cells(line);
      else expect(cells(line)).toBe(head);
    }
  });
});
