import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Finding } from '../../../src/domain/findings.js';
import type { RecoveryOutcome } from '../../../src/domain/backup/records.js';
import type { IncidentLine } from '../../../src/domain/operation/inspections.js';
import { planText } from '../../../src/domain/plan/plan-text.js';
import { rpoInWords } from '../../../src/domain/plan/recovery-figures.js';
import { readPostmaster } from '../../../src/postgres/server/postmaster.js';
import type { RecoverOutput } from '../../../src/workflows/api.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, planned, reaches, refusal, statusOf } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
const watchId = 'watch/mairie';
const inodeOfData = async (): Promise<number> => (await stat(site.places.dataDir)).ino;
const incidents = async () => (await answer<{ incidents: IncidentLine[] }>(site, 'incident', 'list')).incidents;
const resultOf = (workflowId: string): Promise<unknown> => site.session.client.workflow.getHandle(workflowId).result();
const watchIs = (state: string): Promise<unknown> =>
  site.waitFor(async () => (await statusOf(site, watchId)).state === state, `the watch is ${state}`);

beforeAll(async () => {
  site = await Site.create({ watch: true });
  await site.startWorker();
  await site.backUp('physical');
});

describe('a server that comes back', () => {
  it('O1: started by hand while its plan waits: the plan ends, the incident is closed with that, the data directory stays', async () => {
    const before = await inodeOfData();
    await answer(site, 'schedule', 'apply');
    await watchIs('running');
    await site.loseInstance('killed');
    const seen = await site.waitFor(
      async () => (await incidents()).find(({ state }) => state === 'suspected'),
      'the watch opens an incident',
    );
    const recovery = seen.id.replace(/^incident\/([^/]+)\/[^/]+/, 'recover/$1');
    await site.waitFor(
      async () => (await statusOf(site, recovery).catch(() => null))?.state === 'waiting-approval',
      'its recovery has a plan',
    );
    await site.startServer();
    await reaches(site, seen.id, 'completed');
    expect(await resultOf(recovery)).toMatchObject({
      ...{ state: 'completed', outcome: null, plan: { binding: { method: 'restart', replaces: [] } } },
      nothingToDo: expect.stringMatching(/^mairie answers again since \S+Z: nothing to do/),
    });
    expect((await incidents()).find(({ id }) => id === seen.id)).toMatchObject({ state: 'closed' });
    expect(await inodeOfData()).toBe(before);
    await site.query('SELECT 1');
  });

  it('O1: a planned restart with the watch paused opens nothing; a plan to restart that was approved never replaces what answers again', async () => {
    const before = await inodeOfData();
    const count = (await incidents()).length;
    const command = ['cluster', 'watch', 'pause', 'mairie', '--by', 'ops', '--reason', 'minor upgrade'];
    expect(await refusal(site, ...command, '--until', '2020-01-01T00:00:00Z')).toMatchObject({ exit: 2 });
    expect(await answer(site, ...command, '--dry-run')).toMatchObject({ dryRun: true, state: 'paused' });
    expect((await statusOf(site, watchId)).state).toBe('running');
    const until = new Date(Date.now() + 3_600_000).toISOString();
    expect(await answer(site, ...command, '--until', until)).toMatchObject({ cluster: 'mairie', until });
    const paused = await reaches(site, watchId, 'paused');
    expect(paused.waitingFor).toContain('by ops (minor upgrade)');
    expect((await checked()).find(({ check }) => check === watchId)).toMatchObject({
      level: 'warning',
      fix: expect.stringContaining('reprise cluster watch resume mairie'),
    });

    await site.loseInstance('killed');
    const started = await planned(site);
    expect(started.plan.binding.method).toBe('restart');
    await site.startServer();
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    expect(await resultOf(started.workflowId)).toMatchObject({
      outcome: null,
      nothingToDo: expect.stringContaining('answers again'),
    });
    expect(await inodeOfData()).toBe(before);
    await site.query('SELECT 1');

    const resume = ['cluster', 'watch', 'resume', 'mairie', '--by', 'ops', '--reason', 'done'];
    expect(await answer(site, ...resume)).toMatchObject({ resumed: true });
    await watchIs('running');
    expect(await incidents()).toHaveLength(count);
    expect(await refusal(site, 'cluster', 'watch', 'pause', 'marie', '--reason', 'x')).toMatchObject({ exit: 6 });
  });

  it('O9: a login that is refused is no loss: no incident, nothing is planned, the fix is named', async () => {
    const count = (await incidents()).length;
    const hba = join(site.places.dataDir, 'pg_hba.conf');
    const old = await readFile(hba, 'utf8');
    await writeFile(hba, `local all all reject\nhost all all all reject\n`);
    const reload = async (): Promise<void> => {
      const postmaster = await readPostmaster(site.places.dataDir);
      if (postmaster) process.kill(postmaster.pid, 'SIGHUP');
    };
    try {
      await reload();
      await watchIs('cannot-look');
      expect((await statusOf(site, watchId)).waitingFor).toMatch(/refuses the login.*pg_hba\.conf/s);
      expect(await refusal(site, 'recover', 'mairie', '--dry-run')).toMatchObject({
        exit: 5,
        message: expect.stringContaining('refuses the login'),
        hint: expect.stringContaining('pg_hba.conf'),
      });
      expect((await checked()).find(({ check }) => check === watchId)).toMatchObject({ level: 'problem' });
    } finally {
      await writeFile(hba, old);
      await reload();
    }
    await watchIs('running');
    expect(await incidents()).toHaveLength(count);
  });
});

describe('a recovery of a server that goes on meanwhile', () => {
  /** Commits a row, and says when. */
  const commitNow = async (): Promise<number> => {
    await site.commit(1);
    const { rows } = await site.query('SELECT now() AS at');
    return (rows[0] as { at: Date }).at.getTime();
  };

  it('O13, O2: the recovered server dies while it is paused: promote starts it again; the RPO reaches to the last commit that was lost', async () => {
    await site.commit();
    const target = (await site.query('SELECT now() AS at')).rows[0] as { at: Date };
    const kept = await site.commit(0);
    await site.commit();
    const started = await planned(site, '--to', target.at.toISOString(), '--pause');
    // Production goes on while people read the plan.
    const lost = await commitNow();
    expect(planText(started.plan)).toContain('and what is written until the server is stopped');
    await approved(site, started);
    await reaches(site, started.workflowId, 'paused');
    await site.loseInstance('killed');
    await answer(site, 'promote', started.workflowId, '--by', 'dba', '--reason', 'looks right');
    await reaches(site, started.workflowId, 'completed');
    expect(await site.commit(0)).toBe(kept);
    const { outcome } = (await resultOf(started.workflowId)) as RecoverOutput;
    expect(outcome?.rpoSeconds).toBeGreaterThan((lost - target.at.getTime()) / 1000);
    expect(outcome?.place).toMatchObject({ into: 'in-place', port: site.places.port });
    const { markdown } = await answer<{ markdown: string }>(site, 'incident', 'report', started.workflowId);
    expect(markdown).toContain('may have accepted writes');
    expect(markdown).toContain(rpoInWords(outcome as RecoveryOutcome));
  });

  it('O2: dumps replace databases that take writes until they are swapped: the RPO reaches to there', async () => {
    await site.backUp('dump');
    const started = await planned(site, '--policy', 'dump');
    expect(planText(started.plan)).toContain('and what is written until the databases are swapped');
    const lost = await commitNow();
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    const { outcome } = (await resultOf(started.workflowId)) as RecoverOutput;
    const from = Date.parse(outcome?.lastCommitAt ?? '');
    expect(outcome?.rpoSeconds).toBeGreaterThan((lost - from) / 1000);
  });

  it('O3: with the whole data directory gone, the plan says what may be lost, and that it recovers in place', async () => {
    await site.loseInstance('all');
    const { stdout } = await site.cli('recover', 'mairie', '--dry-run');
    expect(stdout).toMatch(/may lose +\S.*no WAL that was not archived is left to replay/);
    expect(stdout).toContain('in place');
    expect(stdout).not.toContain('beside');
    // O10: nothing of it can be approved.
    expect(stdout).not.toContain('reprise approve');
  });
});

/** Findings of `check`, whatever it ends with. */
async function checked(): Promise<readonly Finding[]> {
  const { stdout } = await site.cli('check', '--json');
  return (JSON.parse(stdout) as { findings: readonly Finding[] }).findings;
}
