import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { oldDataDirOf, oldDirectory } from '../../../src/activities/recovery/old-data.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { tempDir } from '../../helpers/temp.js';

/** A recovery that put the lost server's files aside, and was given up. */
async function givenUp(): Promise<{ dataDir: string; aside: string; session: ClusterContext }> {
  const root = await tempDir('old-data');
  const [dataDir, aside] = [join(root, 'pgdata'), join(root, 'pgdata.aside')];
  await mkdir(join(aside, 'pg_wal'), { recursive: true });
  const kept = [{ what: oldDirectory(dataDir), host: 'db1', operationId: 'recover/one', where: aside }];
  const session = {
    catalogue: { state: () => Promise.resolve({ kept, outcomes: new Map() }) },
    deps: { host: 'db1' },
    host: { stateDir: join(root, 'state') },
  };
  return { dataDir, aside, session: session as unknown as ClusterContext };
}

it.each([
  ['an empty directory', ['.']],
  ['WAL and tablespaces unpacked, the rest not yet', ['pg_wal', 'pg_tblspc']],
  ['files before their label and their control file', ['base', 'global']],
])('F3: a second recovery reads the WAL of what the first put aside, not of %s', async (_, directories) => {
  const { dataDir, aside, session } = await givenUp();
  for (const name of directories) await mkdir(join(dataDir, name), { recursive: true });
  expect(await oldDataDirOf(session, dataDir)).toBe(aside);
});

it('F3: a data directory with a control file, and nothing of a backup, is the lost server itself', async () => {
  const { dataDir, session } = await givenUp();
  await mkdir(join(dataDir, 'global'), { recursive: true });
  await writeFile(join(dataDir, 'global', 'pg_control'), '');
  expect(await oldDataDirOf(session, dataDir)).toBe(dataDir);
});
