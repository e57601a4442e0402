import { describe, expect, it } from '@jest/globals';
import type { RecordBody } from '../../../src/domain/backup/records.js';
import { parseRecord } from '../../../src/records/envelope.js';
import { drillOutcomeOf, entryFor } from '../../workflows/drills.js';
import { backupFacts, fact, numbered, samplePlan } from './samples.js';

const outcome = { target: { requested: 'latest', reached: 'latest' }, phases: [], checks: [] };

const drill = drillOutcomeOf({ cluster: 'mairie', operationId: 'op', workflowId: 'w', ended: 'done' });

/** A record of each kind, and values that its fields must not have. */
const kinds: Readonly<Record<RecordBody['kind'], readonly [Readonly<Record<string, unknown>>, object]>> = {
  backup: [
    { backup: backupFacts('a') },
    {
      backup: [undefined, [], { ...backupFacts('a'), sizeBytes: -1 }, { ...backupFacts('a'), finishedAt: 'soon' }],
      contentRecords: [1.5, '1'],
    },
  ],
  contents: [
    { backupId: 'b', contents: [] },
    { backupId: ['', 1], contents: [{}, null] },
  ],
  'backup-failed': [
    { policy: 'p', reason: '', code: 'internal' },
    { policy: [''], reason: [null], code: [1] },
  ],
  'backup-skipped': [
    { policy: 'p', reason: '' },
    { policy: [''], reason: [null] },
  ],
  proof: [
    { backupId: 'b', proof: { level: 'verified', at: '2026-11-21T02:00:00Z' }, detail: '' },
    { backupId: [''], proof: [{ level: 'good', at: '2026-11-21T02:00:00Z' }, { level: 'verified' }], detail: [1] },
  ],
  quarantine: [
    { backupId: 'b', reason: '' },
    { backupId: [''], reason: [1] },
  ],
  removed: [
    { backupId: 'b', reason: '' },
    { backupId: [''], reason: [1] },
  ],
  hold: [
    { backupId: 'b', until: 'infinity', reason: '' },
    { backupId: [''], until: ['', 'ever'], reason: [1] },
  ],
  release: [{ backupId: 'b' }, { backupId: [''] }],
  pin: [
    { backupIds: ['b'], walFrom: null },
    { backupIds: ['b', [1]], walFrom: [undefined, 1] },
  ],
  unpin: [{}, {}],
  plan: [{ plan: samplePlan() }, { plan: [null, { ...samplePlan(), binding: [] }] }],
  approval: [
    { digest: 'd', approval: { plan: 'd', by: 'dba', reason: '' }, assurance: 'asserted' },
    { digest: [''], approval: [{ plan: 'd', by: '', reason: '' }], assurance: ['believed'] },
  ],
  refusal: [
    { digest: '', by: '', code: '', reason: '' },
    { digest: [1], code: [1], reason: [1] },
  ],
  'plan-used': [{ digest: 'd' }, { digest: [''] }],
  kept: [
    { keptId: 'k', what: '', where: '', sizeBytes: null, host: 'h' },
    { keptId: [''], what: [1], where: [1], sizeBytes: ['1', undefined], host: [''] },
  ],
  'kept-dropped': [{ keptId: 'k' }, { keptId: [''] }],
  'key-proof': [{ recipient: 'r' }, { recipient: [''] }],
  repository: [
    { repository: 'local', identity: 'i', where: '' },
    { repository: [''], identity: ['', 1], where: [1] },
  ],
  incident: [
    { incidentId: 'i', scenario: 's', state: 'open', text: '' },
    { incidentId: [''], scenario: [''], state: [''], text: [1] },
  ],
  journal: [
    { workflowId: '', step: '', text: '' },
    { workflowId: [1], step: [1], text: [1] },
  ],
  outcome: [
    { workflowId: '', outcome },
    { workflowId: [1], outcome: [{ ...outcome, phases: {} }] },
  ],
  drill: [{ outcome: drill }, { outcome: [{}, { ...drill, verdict: 'good' }, { ...drill, finishedAt: 'soon' }] }],
  register: [
    { entry: entryFor('mairie') },
    { entry: [null, { ...entryFor('mairie'), what: 'late' }, { ...entryFor('mairie'), closedBy: undefined }] },
  ],
  'daily-check': [
    { found: { open: [], told: [], over: [] } },
    { found: [null, { open: [{ check: 'c', level: 'ok' }], told: [], over: [] }, { told: [], over: [] }] },
  ],
};

describe.each(Object.entries(kinds))('a record of the kind %s', (kind, [fields, wrong]) => {
  const [record] = numbered(fact({ kind, ...fields } as unknown as RecordBody));
  const parse = (more: object) => parseRecord(JSON.stringify({ ...record, ...more }), 1);

  it('is read with all it holds, also what a later version added', () => {
    expect(parse({})).toEqual(JSON.parse(JSON.stringify(record)));
    expect(parse({ later: { more: true } })).toMatchObject({ later: { more: true } });
  });

  it('names the field that is wrong', () => {
    for (const [name, values] of Object.entries(wrong) as [string, unknown[]][])
      for (const value of values)
        expect([name, value, parse({ [name]: value })]).toEqual([
          name,
          value,
          { reason: `its field "${name}" is missing or wrong` },
        ]);
  });
});

describe('the envelope of a record', () => {
  const [record] = numbered(fact({ kind: 'unpin' }));
  const parse = (more: object) => parseRecord(JSON.stringify({ ...record, ...more }), 1);

  it('names the field that is wrong before it looks at the kind', () => {
    for (const [name, value] of Object.entries({ id: '', at: 'noon', operationId: null, by: 1 }))
      expect(parse({ [name]: value, kind: 'other' })).toEqual({
        reason: `its field "${name}" is missing or wrong`,
      });
    expect(parse({ kind: 'toString' })).toEqual({ reason: 'its kind "toString" is not known' });
    expect(parse({ kind: undefined })).toEqual({ reason: 'its kind undefined is not known' });
  });

  it('is JSON, an object, and of its place', () => {
    expect(parseRecord('', 1)).toEqual({ reason: 'it is empty' });
    expect(parseRecord('[]', 1)).toEqual({ reason: 'it is no JSON object' });
    expect(parseRecord('{', 1)).toEqual({ reason: 'it is not JSON' });
    expect(parse({ seq: '1' })).toEqual({ reason: 'its number inside is "1"' });
  });
});
