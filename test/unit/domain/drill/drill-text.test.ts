import { expect, it } from '@jest/globals';
import { parseSignOff } from '../../../../src/domain/approval/parse-decisions.js';
import { drillDetails, outcomeDetails, signOffDetails, signOffJson } from '../../../../src/domain/drill/drill-text.js';
import { utf8Bytes } from '../../../../src/domain/text/text.js';
import { hostileDrill, sampleDrillOutcome, sampleDrillPlan } from '../../../helpers/drill-sample.js';

const { restores: restored, checks } = sampleDrillOutcome;
const asked = {
  ...{ connection: 'host=localhost port=5433 dbname=mairie', by: ['qa', 'ops'], until: '2026-04-10T02:00:00.000Z' },
  ...{ restored, checks },
};

it('P5: whoever is to sign off reads who, until when, where to look, what was found, and what to paste or to type', () => {
  const text = signOffDetails(sampleDrillPlan, asked);
  for (const told of [
    'qa or ops says until 2026-04-10 02:00 UTC',
    "`psql 'host=localhost port=5433 dbname=mairie'`",
    `\`\`\`json\n${signOffJson}\n\`\`\``,
    `reprise sign-off ${sampleDrillPlan.workflowId} --verdict pass`,
    '**Found so far:** 5 checks: 4 passed, 0 failed, 1 skipped;',
    'skipped: amcheck of nightly-dump: the extension amcheck is not installed',
  ])
    expect(text).toContain(told);
  // What stands in the evidence is not what stood in the form.
  expect(parseSignOff(signOffJson)).toEqual({ problem: expect.stringContaining('"remarks" is not filled in') });
  expect(parseSignOff(signOffJson.replace('<what you saw>', 'all there'))).toMatchObject({ remarks: 'all there' });
});

it('P5, L13: of hundreds of databases and checks the page shows some, within what Temporal takes, and texts of others stay text', () => {
  const many = <T>(list: readonly T[]): readonly T[] => Array.from({ length: 400 }, () => list).flat();
  const plan = {
    ...sampleDrillPlan,
    restores: sampleDrillPlan.restores.map((one) => ({ ...one, backups: many(one.backups) })),
    notTested: many(sampleDrillPlan.notTested),
  };
  const skipped = checks.filter(({ status }) => status === 'skipped');
  const outcome = { ...sampleDrillOutcome, notTested: plan.notTested, restores: many(restored), evidence: null };
  for (const text of [
    signOffDetails(plan, { ...asked, restored: many(restored), checks: many(skipped) }),
    drillDetails(plan),
    outcomeDetails(outcome),
  ]) {
    expect(utf8Bytes(text)).toBeLessThan(18_000);
    expect(text).toMatch(/^- and \d+ more$/m);
  }
  const hostile = { ...asked, restored: hostileDrill.outcome.restores, checks: hostileDrill.outcome.checks };
  expect(signOffDetails(sampleDrillPlan, hostile)).not.toMatch(/(?<!\\)<script/);
});
