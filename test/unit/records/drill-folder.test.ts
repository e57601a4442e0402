import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { DrillCheck } from '../../../src/domain/drill/drill.js';
import { drillsDirectory, openDrillFolder } from '../../../src/records/drill-folder.js';
import { tempDir } from '../../helpers/temp.js';

const folderIn = async () => openDrillFolder(await tempDir('state'), '20261129t020000-aaaa');

describe('what a drill keeps on its staging host', () => {
  it('keeps the results of its steps, owner-only, and a later attempt replaces an earlier one', async () => {
    const folder = await folderIn();
    expect(await folder.checks(0)).toBeNull();
    const check: DrillCheck = {
      ...{ policy: 'physical', name: 'rows', type: 'sql', status: 'failed', detail: '1 row', seconds: 1 },
    };
    await folder.saveChecks(0, [check]);
    await folder.saveChecks(0, [{ ...check, status: 'passed' }]);
    expect(await folder.checks(0)).toEqual([{ ...check, status: 'passed' }]);
    expect(await folder.checks('cross')).toBeNull();
    expect((await stat(folder.path)).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder.path, 'checks-0.json'))).mode & 0o777).toBe(0o600);
  });

  it('F39: a text for the evidence is kept without secrets and row values, however long it is', async () => {
    const folder = await folderIn();
    const secret = 'password=correct-horse\n';
    const long = `${'x'.repeat(99)}\n`.repeat(2_000);
    expect(await folder.keepText('logs/restore.log', `${secret}${long}${secret}`)).toBe('logs/restore.log');
    const kept = await readFile(join(folder.path, 'texts', 'logs', 'restore.log'), 'utf8');
    expect(kept).not.toContain('correct-horse');
    expect(kept.length).toBe(long.length + 2 * 'password=***\n'.length);
    await folder.keepText('huge.log', 'y\n'.repeat(3 * 1024 * 1024));
    expect((await readFile(join(folder.path, 'texts', 'huge.log'), 'utf8')).slice(-50)).toContain(
      '(2097152 more characters were left out)',
    );
    expect([...(await folder.texts()).keys()]).toEqual(['huge.log', 'logs/restore.log']);
  });

  it('V4: the files of the evidence are kept whole, and the first ones stay', async () => {
    const folder = await folderIn();
    expect(await folder.evidence()).toBeNull();
    const files = new Map([
      ['logs/restore.log', 'restored\n'],
      ['plan.json', '{}\n'],
    ]);
    await folder.saveEvidence(files);
    await folder.saveEvidence(new Map([['plan.json', '{"other": true}\n']]));
    expect(await folder.evidence()).toEqual(files);
    await expect(folder.saveEvidence(new Map([['../x', '']]))).rejects.toMatchObject({ code: 'internal' });
  });

  it('a name that is no name of a file is refused, and two drills share no folder', async () => {
    const folder = await folderIn();
    await expect(folder.keepText('../plan.json', '')).rejects.toMatchObject({ code: 'internal' });
    await expect(folder.keepText('/etc/x', '')).rejects.toMatchObject({ code: 'internal' });
    const stateDir = await tempDir('state');
    expect(openDrillFolder(stateDir, '../a').path.startsWith(`${drillsDirectory(stateDir)}/name-`)).toBe(true);
  });
});
