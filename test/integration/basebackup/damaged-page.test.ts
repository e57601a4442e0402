import { expect, it } from '@jest/globals';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { startBaseCluster } from '../../helpers/basebackup.js';
import { damagePage } from '../../helpers/damage-page.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { programs18 } from '../../helpers/programs-18.js';

failOnLeakedProcesses();

it.each([15, 18])(
  'W14: on PostgreSQL %i a damaged page fails the backup, which is started once and names file and page; where pages are not checked it is taken, and marked',
  async (version) => {
    const source = await startBaseCluster({ version, initdb: ['--data-checksums'] });
    const path = await damagePage(source.cluster, source.cluster.dataDir);
    const pgBin = version === 18 ? { pgBin: await programs18() } : {};
    const context = await source.context(`damaged ${version}`, pgBin);
    await engine.preflightBackup(context);
    const request = { type: 'full' as const, startedAt: '2026-11-21T02:15:00.000Z' };
    await expect(engine.backup(context, request)).rejects.toMatchObject({
      code: 'page-corrupt',
      message: expect.stringContaining(`checksum verification failed in file "./${path}", block 0`) as unknown,
      hint: expect.stringContaining('page_errors: accept') as unknown,
    });
    const jobs = await readJobs(context.host.stateDir, context.operationId);
    expect(jobs.map(({ tool, starts }) => `${tool} ${starts}`)).toEqual(['pg_basebackup 1']);
    expect(await engine.list(context)).toEqual([]);
    source.options['pageErrors'] = 'accept';
    const accepted = await source.context(`accepted ${version}`, pgBin);
    expect(await engine.backup(accepted, request)).toMatchObject([{ pageErrors: ['pages were not checked'] }]);
  },
);
