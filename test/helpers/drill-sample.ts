import type { DrillCheck, DrillOutcome, DrillPlan } from '../../src/domain/drill/drill.js';
import type { DrillReportInput } from '../../src/reports/drill/model.js';

const drillId = '20260405t020000-5d1e';
const digest = (digit: string): string => digit.repeat(64);

/** The plan of a drill with two engines, as a staging host makes it. */
export const sampleDrillPlan: DrillPlan = {
  digest: digest('d'),
  cluster: 'mairie',
  operationId: drillId,
  workflowId: `drill/mairie/${drillId}`,
  requester: 'schedule',
  order: {},
  createdAt: '2026-04-05T02:00:03.000Z',
  place: { host: 'staging1', dataDir: '/var/lib/postgresql/staging', port: 5433 },
  configDigest: digest('c'),
  seed: '0f1e2d3c4b5a6978',
  restores: [
    {
      ...{ policy: 'physical', engine: 'pgbackrest', method: 'data-directory', chosen: 'random' },
      backups: [
        {
          ...{ id: 'mairie:pgbackrest:20260404-021503F', database: null, label: '20260404-021503F' },
          ...{ sizeBytes: 48_200_000_000, finishedAt: '2026-04-04T02:41:10.000Z', content: digest('a') },
        },
      ],
      target: { kind: 'time', time: '2026-04-04T14:07:31.000Z' },
      window: { from: '2026-03-05T02:41:10.000Z', to: '2026-04-05T01:58:00.000Z' },
      predicted: { p50: 1460, p90: 1810, samples: 6 },
    },
    {
      ...{ policy: 'nightly-dump', engine: 'logical', method: 'databases', chosen: 'latest' },
      backups: [
        {
          ...{ id: 'mairie:logical:mairie_full_20260405_013000', database: 'mairie' },
          ...{ label: 'mairie_full_20260405_013000', sizeBytes: 6_100_000_000 },
          ...{ finishedAt: '2026-04-05T01:44:00.000Z', content: digest('b') },
        },
      ],
      target: { kind: 'latest' },
      predicted: null,
    },
  ],
  checks: ['row-counts', 'amcheck', 'appointments'],
  notTested: [
    { kind: 'media', name: 'photos', reason: 'media are not part of a drill of this version' },
    { kind: 'host', name: 'db1', reason: 'the drill restores to staging1: the hardware of production was not used' },
    { kind: 'database', name: 'statistics', reason: 'no policy backs it up' },
  ],
};

const check = (policy: string, name: string, more: Partial<DrillCheck> = {}): DrillCheck => ({
  ...{ policy, name, type: name, status: 'passed', detail: '412 of 412 tables are as recorded', seconds: 12.4 },
  ...more,
});

export const sampleDrillOutcome: Omit<DrillOutcome, 'evidence'> = {
  drillId,
  workflowId: `drill/mairie/${drillId}`,
  cluster: 'mairie',
  verdict: 'pass',
  reason: null,
  startedAt: '2026-04-05T02:00:03.000Z',
  finishedAt: '2026-04-07T09:12:40.000Z',
  seed: '0f1e2d3c4b5a6978',
  restores: [
    {
      ...{ policy: 'physical', engine: 'pgbackrest', rtoSeconds: 1534, bytes: 48_200_000_000 },
      phases: [
        { name: 'restore files', seconds: 1207 },
        { name: 'start', seconds: 9.5 },
        { name: 'replay WAL', seconds: 317.5 },
      ],
      ...{ reached: '2026-04-04T14:07:30.882Z', lastLsn: '3/5A000148', lastCommitAt: '2026-04-04T14:07:30.882Z' },
      ...{ complete: false, predicted: { p50: 1460, p90: 1810, samples: 6 } },
    },
    {
      ...{ policy: 'nightly-dump', engine: 'logical', rtoSeconds: 2466, bytes: 6_100_000_000, predicted: null },
      phases: [
        { name: 'make the cluster', seconds: 4 },
        { name: 'restore databases', seconds: 2462 },
      ],
      ...{ reached: '2026-04-05T01:30:02.000Z', lastLsn: null, lastCommitAt: null, complete: false },
    },
  ],
  checks: [
    check('physical', 'row-counts', { evidence: 'checks/physical/row-counts.json' }),
    check('physical', 'amcheck', { detail: '1,204 relations, no error', seconds: 88 }),
    check('physical', 'appointments', { type: 'sql', detail: '200,123 rows, at least 100,000 expected', seconds: 0.2 }),
    check('nightly-dump', 'row-counts', { evidence: 'checks/nightly-dump/row-counts.json' }),
    check('nightly-dump', 'amcheck', {
      ...{ status: 'skipped', detail: 'the extension amcheck is not installed', seconds: 0 },
      hint: 'install postgresql-contrib on staging1',
    }),
  ],
  signOff: {
    ...{ verdict: 'pass', by: 'qa', at: '2026-04-07T09:12:31.000Z' },
    remarks: 'Appointments of the last week were looked at in the application.',
  },
  rpoSeconds: 122,
  notTested: sampleDrillPlan.notTested,
};

/** A drill of the past, as its record has it. */
export function earlierDrill(day: string, rtoSeconds: number, verdict: DrillOutcome['verdict'] = 'pass') {
  const [physical] = sampleDrillOutcome.restores;
  return {
    ...{ drillId: `${day.replaceAll('-', '')}t020000-aaaa`, finishedAt: `${day}T04:00:00.000Z`, verdict },
    restores: physical === undefined ? [] : [{ ...physical, rtoSeconds }],
  };
}

export const sampleDrill: DrillReportInput = {
  plan: sampleDrillPlan,
  outcome: sampleDrillOutcome,
  failures: [],
  objectives: { rtoSeconds: 3600, rpoSeconds: 300 },
  versions: [
    { name: 'Reprise', version: '0.1.0' },
    { name: 'PostgreSQL', version: '15.18' },
    { name: 'pgbackrest', version: 'pgBackRest 2.45' },
  ],
  asksSignOff: true,
  signer: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
  history: [
    earlierDrill('2025-04-06', 1320),
    earlierDrill('2025-07-06', 1391),
    earlierDrill('2025-10-05', 4102, 'fail'),
    earlierDrill('2026-01-04', 1470),
  ],
};

const hostile = '</td></table><script>document.title="run"</script>"\'&`|[x](javascript:alert(1))\u202e\n# h';

/** The same with texts of others that try to be markup. */
export const hostileDrill: DrillReportInput = {
  ...sampleDrill,
  plan: { ...sampleDrillPlan, requester: hostile, place: { ...sampleDrillPlan.place, dataDir: `/srv/${hostile}` } },
  outcome: {
    ...sampleDrillOutcome,
    ...{ verdict: 'fail', reason: hostile, seed: hostile },
    restores: sampleDrillOutcome.restores.map((one) => ({
      ...one,
      policy: hostile,
      phases: [{ name: hostile, seconds: 10 }],
      reached: hostile,
    })),
    checks: [check(hostile, hostile, { status: 'failed', detail: hostile, hint: hostile })],
    notTested: [{ kind: 'database', name: hostile, reason: hostile }],
    signOff: { verdict: 'fail', by: hostile, at: '2026-04-07T09:12:31.000Z', remarks: hostile },
  },
  failures: [{ step: hostile, code: 'internal', text: hostile, at: '2026-04-05T02:10:00.000Z' }],
  versions: [{ name: hostile, version: hostile }],
};
