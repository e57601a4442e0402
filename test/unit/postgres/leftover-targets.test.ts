import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { leftoverTargets } from '../../../src/postgres/recovery/leftover-targets.js';
import { readFile } from 'node:fs/promises';
import { resetAutoSettings, writeAutoSettings } from '../../../src/postgres/recovery/auto-conf.js';
import { tempDir } from '../../helpers/temp.js';

describe('W6: what an earlier recovery left in configuration files', () => {
  it('is found in every one of them, included ones too', async () => {
    const root = await tempDir('left');
    await mkdir(join(root, 'conf.d'));
    const [main, auto] = [join(root, 'postgresql.conf'), join(root, 'postgresql.auto.conf')];
    await writeFile(
      main,
      [
        "port = 5432 # recovery_target_name = 'no'",
        "#recovery_target_time = 'no'",
        "include_dir 'conf.d'",
        "include_if_exists = 'none.conf'",
        "include 'more.conf'",
        "recovery_target_timeline = 'latest'",
        "recovery_target_action = 'promote'",
        '',
      ].join('\n'),
    );
    await writeFile(join(root, 'more.conf'), "Recovery_Target_Timeline=3\ninclude 'postgresql.conf'\n");
    await writeFile(join(root, 'conf.d', '10-left.conf'), "recovery_target_name 'it''s'\n");
    await writeFile(join(root, 'conf.d', '.hidden.conf'), "recovery_target_xid = '5'\n");
    await writeFile(join(root, 'conf.d', 'other.txt'), "recovery_target_xid = '5'\n");
    await writeFile(auto, "recovery_target_xid = '740'\nrecovery_target_lsn = ''\n");
    expect(await leftoverTargets([main, auto, join(root, 'gone.conf')])).toEqual([
      { file: join(root, 'conf.d', '10-left.conf'), name: 'recovery_target_name', value: "it's" },
      { file: join(root, 'more.conf'), name: 'recovery_target_timeline', value: '3' },
      { file: auto, name: 'recovery_target_xid', value: '740' },
    ]);
  });

  it('does not come back into postgresql.auto.conf when a recovery is over; other settings do', async () => {
    const root = await tempDir('left');
    const auto = join(root, 'postgresql.auto.conf');
    await writeFile(auto, "recovery_target_xid = '740'\nrestore_command = 'cp'\nwork_mem = '5MB'\n");
    await writeAutoSettings(
      root,
      { recovery_target_xid: '', recovery_target_lsn: '0/1', restore_command: 'own' },
      null,
    );
    await resetAutoSettings(root, () => true, null);
    expect((await readFile(auto, 'utf8')).trim().split('\n')).toEqual(["work_mem = '5MB'", "restore_command = 'cp'"]);
  });
});
