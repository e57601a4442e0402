import { describe, expect, it } from '@jest/globals';
import { approvalJson, waitingLabel } from '../../../src/domain/approval/approval-policy.js';
import { parseApproval } from '../../../src/domain/approval/parse-decisions.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { approvalDetails, planDetails, planText, waitingSummary } from '../../../src/domain/plan/plan-text.js';
import { golden } from '../../helpers/golden.js';
import { samplePlan } from '../records/samples.js';

const hostile = 'a|b`c\n# <script>"\u202e😀';
const plans: Record<string, Plan> = {
  'in-place': samplePlan(),
  restart: samplePlan({
    method: 'restart',
    backups: [],
    replaces: [],
    steps: ['start', 'run-checks'],
    hooks: [],
    target: { kind: 'latest' },
  }),
  overwrite: samplePlan({ replaces: [{ what: '/var/lib/postgresql/15/main', keptAs: null }] }),
  copied: samplePlan({
    replaces: [{ what: '/var/lib/postgresql/15/main', keptAs: '/mnt/spare/main.aside-7f3a', copied: true }],
  }),
  beside: samplePlan({
    into: 'beside',
    replaces: [],
    pause: true,
    port: 5434,
    target: { kind: 'time', time: '2026-11-21T01:00:00Z' },
  }),
  hostile: samplePlan({
    policy: hostile,
    backups: [
      {
        id: `mairie:logical:${hostile}`,
        label: hostile,
        type: 'full',
        finishedAt: '2026-11-20T02:19:48Z',
        hash: null,
        database: hostile,
      },
    ],
    target: { kind: 'name', name: hostile },
    replaces: [{ what: `database ${hostile}`, keptAs: `${hostile}_old` }],
    hooks: [hostile],
    requester: hostile,
  }),
};
const warned = (plan: Plan): Plan => ({
  ...plan,
  observed: {
    ...plan.observed,
    warnings: ['collation version differs: reindex', hostile],
    predictedRpoSeconds: 42.5,
    reachableTo: null,
    walEnd: null,
    salvageableSegments: 0,
  },
});
const beside = plans['beside'] as Plan;
plans['beside'] = {
  ...beside,
  observed: {
    ...beside.observed,
    stateAt: '2026-11-21T01:00:00.123Z',
    predictedRpoSeconds: 4500,
    approval: { approvers: 2, from: ['dba', 'maire'] },
  },
};
plans['hostile'] = warned(plans['hostile'] as Plan);

describe('view of a plan', () => {
  it.each(Object.keys(plans))('D4: details and text of the plan %s', async (name) => {
    const plan = plans[name] as Plan;
    const text = `${approvalDetails(plan)}\n\n--- terminal ---\n${planText(plan)}\n\n--- timer ---\n${waitingSummary(plan)}\n`;
    expect(text).toBe(await golden(new URL(`golden/plan-${name}.md`, import.meta.url), text));
  });

  it('K1: media that come back with the database are counted by what is done; without them, no word of it', () => {
    const counts = {
      undelete: { objects: 3, bytes: 2_000_000 },
      overwrite: { objects: 0, bytes: 0 },
      copy: { objects: 2, bytes: 10 },
    };
    const media = { name: hostile, instant: '2026-11-21T01:00:00.123Z', counts, digest: 'd' };
    const plan = samplePlan({ media });
    expect(planText(plan)).toMatch(
      / media +.* as of 2026-11-21T01:00:00Z: 3 to undelete \(.*\), 2 to copy where no object exists \(.*\)\n/,
    );
    expect(planText(plan)).toContain('with the media');
    expect(planText(plan)).not.toContain('<script>\n');
    expect(planText(plan)).not.toContain('\u202e');
    expect(approvalDetails(plan)).toContain('objects that were added later are kept');
    expect(
      planText(
        samplePlan({ media: { ...media, counts: { ...counts, undelete: counts.overwrite, copy: counts.overwrite } } }),
      ),
    ).toContain('nothing to change');
    expect(planText(samplePlan())).not.toContain('media');
  });

  it('D3: the JSON shown is an approval once a name and a reason are put in, and is not one before', () => {
    const plan = samplePlan();
    const json = approvalJson(plan);
    expect(approvalDetails(plan)).toContain(json);
    // Once it is approved, nobody is asked any more.
    expect(planDetails(plan)).not.toContain('Send an Update');
    const filled = json.replace('<your name>', 'dba').replace('<why>', 'go');
    expect(parseApproval(filled)).toEqual({ plan: plan.digest.slice(0, 12), by: 'dba', reason: 'go' });
  });

  it('F40: stays inside the limits of Temporal with thousands of databases, long names and many warnings', () => {
    const [one] = samplePlan().binding.backups;
    const long = '😀|`<\n'.repeat(300);
    const many = Array.from({ length: 300 }, (_, index) => ({
      ...(one as NonNullable<typeof one>),
      id: `${index}${long}`,
    }));
    const plan = warned(
      samplePlan({
        backups: many,
        target: { kind: 'name', name: long },
        replaces: many.map(({ id }) => ({ what: id, keptAs: id })),
        hooks: many.map(({ id }) => id),
        steps: many.map(({ id }) => id),
        requester: long,
      }),
    );
    const full: Plan = { ...plan, observed: { ...plan.observed, warnings: many.map(({ id }) => id) } };
    const details = approvalDetails(full);
    expect(Buffer.byteLength(details)).toBeLessThan(20_000);
    expect(details).toContain(approvalJson(full));
    expect(Buffer.byteLength(waitingSummary(full))).toBeLessThanOrEqual(120);
    expect(waitingSummary(full)).toContain(full.digest.slice(0, 12));
  });

  it('O14: the timeline says where to read on, and what is pasted has the form that the Web UI gives it', () => {
    const plan = samplePlan();
    expect(waitingSummary(plan)).toMatch(/^wait for approval: mairie, recovery to .*; see User Metadata$/);
    expect(waitingLabel('"restore" failed: continue or reject')).toBe(
      '"restore" failed: continue or reject; see User Metadata',
    );
    const lines = approvalJson(plan).split('\n');
    expect(lines).toHaveLength(5);
    for (const text of [approvalDetails(plan), planText(plan)])
      expect(text.split('\n').map((line) => line.trim())).toEqual(
        expect.arrayContaining(lines.map((line) => line.trim())),
      );
  });

  it('the timer of an ordinary plan says what, which and until when in one line', () => {
    expect(waitingSummary(samplePlan())).toBe(
      `wait for approval: mairie, recovery to latest, plan ${samplePlan().digest.slice(0, 12)} until 2026-11-21T06:15Z; see User Metadata`,
    );
  });
});

describe('O3: what may be lost', () => {
  const line = (plan: Plan): string =>
    planText(plan)
      .split('\n')
      .find((text) => text.trim().startsWith('may lose'))
      ?.trim()
      .replace(/^may lose\s+/, '') ?? '';
  const lossOf = (binding: Partial<Plan['binding']>, observed: Partial<Plan['observed']> = {}): string => {
    const plan = samplePlan({ method: 'data-directory', ...binding });
    return line({ ...plan, observed: { ...plan.observed, ...observed } });
  };

  it('O3: is said where the whole data directory is gone, in place and nowhere else; or that it cannot be known', () => {
    const gone = { replaces: [], target: { kind: 'latest' as const } };
    const lost = { serverIsThere: false, salvageableSegments: 0 };
    expect(lossOf(gone, { ...lost, predictedRpoSeconds: 90 })).toBe(
      'what was written in the last 1 min 30 s before this plan; no WAL that was not archived is left to replay',
    );
    expect(lossOf(gone, { ...lost, predictedRpoSeconds: null })).toMatch(/^not known before the WAL is replayed/);
    const text = planText(samplePlan({ method: 'data-directory', ...gone }));
    expect(text).toContain('in place');
    expect(text).not.toContain('beside');
  });

  it('O2: counts what a running server takes until it is stopped, and databases until they are swapped', () => {
    const seen = { serverIsThere: true, predictedRpoSeconds: 60 };
    const time = { target: { kind: 'time' as const, time: '2026-11-21T01:00:00Z' } };
    expect(lossOf(time, seen)).toBe(
      'what was written in the last 1 min 00 s before this plan, and what is written until the server is stopped',
    );
    expect(lossOf({ method: 'databases' }, seen)).toContain('until the databases are swapped');
    // Its WAL is saved when it is stopped, and replayed to its end.
    expect(lossOf({ target: { kind: 'latest' } }, seen)).not.toContain('until');
    expect(lossOf({ into: 'beside', replaces: [], ...time }, seen)).toMatch(/^nothing: mairie itself stays/);
  });
});

it('O10: a plan that only shows what would be done has no command that decides on it', () => {
  const plan = samplePlan();
  expect(planText(plan)).toContain('reprise approve');
  const shown = planText(plan, { waits: false });
  expect(shown).not.toMatch(/reprise (approve|reject)|send the update/);
  expect(shown).not.toContain(plan.digest.slice(0, 12));
  expect(shown).toContain('Nothing was started');
});
