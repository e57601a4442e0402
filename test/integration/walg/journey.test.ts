import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, planned, reaches } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';
import { renamedFunctions, walgPolicy } from '../../helpers/walg.js';

failOnLeakedProcesses();

describe('a policy with WAL-G, by the command line', () => {
  it('P2, B3, S4: backs up, rotates, holds, loses the whole data directory, and recovers in place to the last archived commit', async () => {
    const { prefix, physical } = await walgPolicy();
    const site = await Site.create({
      retention: '{ count: 1, min_proven: 1 }',
      physical,
    });
    await site.query(renamedFunctions, 'postgres');
    await site.query('CREATE TABLE marks (n int PRIMARY KEY)');
    await site.startWorker();

    const [older] = (await site.backUp('physical')).backups;
    const [made] = (await site.backUp('physical')).backups;
    expect(made).toMatchObject({ engine: 'walg', type: 'full' });
    // One is kept: what is older went after the new one was verified, and its WAL with it.
    // In a directory WAL-G leaves an empty folder behind.
    const files = (await readdir(prefix, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.filter((path) => path.includes(older?.label ?? 'none'))).toEqual([]);
    expect((await readdir(join(prefix, 'wal_005'))).filter((name) => name < (made?.wal?.start ?? ''))).toEqual([]);

    const isPermanent = async (): Promise<unknown> =>
      (
        JSON.parse(await readFile(join(prefix, 'basebackups_005', made?.label ?? '', 'metadata.json'), 'utf8')) as {
          is_permanent: boolean;
        }
      ).is_permanent;
    expect(await isPermanent()).toBe(false);
    await answer(site, 'backup', 'hold', made?.id ?? '', '--reason', 'before the migration');
    expect(await isPermanent()).toBe(true);

    await site.query('INSERT INTO marks VALUES (1)');
    await site.archiveSegment();
    await site.loseInstance('all');

    const started = await planned(site);
    expect(started.plan.binding).toMatchObject({ method: 'data-directory', target: { kind: 'latest' } });
    await approved(site, started);
    await reaches(site, started.workflowId, 'completed');
    expect((await site.query('SELECT n FROM marks')).rows).toEqual([{ n: 1 }]);
    expect((await site.query("SELECT current_setting('archive_command') AS command")).rows).toEqual([
      { command: physical.archiveCommand },
    ]);
    const { backups } = await answer<{ backups: Backup[] }>(site, 'backup', 'list', 'mairie');
    const fresh = backups.filter(({ engine }) => engine === 'walg').at(-1);
    expect(fresh).toMatchObject({ status: 'complete', proven: { level: 'verified' } });
    expect(fresh?.label).toMatch(/^base_00000002/);
  });
});
