import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { once } from '../../../src/doctor/inspect-host.js';
import { problem, warning } from '../../../src/domain/findings.js';
import { toRepriseError } from '../../../src/client/errors.js';
import { machineFindings } from '../../../src/doctor/machine.js';
import { asRoot, giveToPostgres, runAsPostgres } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

const loader = join(import.meta.dirname, '../../helpers/typescript.mjs');

let folder: string;

beforeEach(async () => {
  folder = await tempDir('next');
});

describe('O8: doctor looks for what the next command needs', () => {
  // Root may make what it likes: only another user can be refused.
  (asRoot ? it : it.skip)(
    'a directory that this user cannot make is a problem, with the command that makes it',
    async () => {
      const closed = join(folder, 'closed');
      await mkdir(closed, { mode: 0o755 });
      await writeFile(
        join(folder, 'look.ts'),
        `import { unmakeable } from ${JSON.stringify(join(import.meta.dirname, '../../../src/doctor/machine.ts'))};
console.log(JSON.stringify([await unmakeable('a', 'the state directory', ${JSON.stringify(join(closed, 'x/state'))}), await unmakeable('b', 'the state directory', ${JSON.stringify(join(folder, 'mine/state'))})]));`,
      );
      const said = await runAsPostgres(process.execPath, ['--import', loader, join(folder, 'look.ts')]);
      const path = join(closed, 'x/state');
      expect(JSON.parse(said)).toEqual([
        problem(
          'a',
          `the state directory ${path} does not exist, and postgres may not make it in ${closed}`,
          `sudo install -d -m 0700 -o postgres ${path}`,
        ),
        null,
      ]);
    },
  );

  (asRoot ? it : it.skip)(
    'files of another user in the state directory are named, with the command that gives them back',
    async () => {
      const stateDir = join(folder, 'state');
      await mkdir(join(stateDir, 'embedded'), { recursive: true, mode: 0o700 });
      await giveToPostgres(stateDir);
      await giveToPostgres(join(stateDir, 'embedded'));
      await writeFile(join(stateDir, 'embedded', 'embedded.json'), '{}', { mode: 0o600 });
      const host = { name: 'db1', stateDir, scratchDir: join(stateDir, 'scratch') };
      const look = async () =>
        (await machineFindings({ temporal: { address: 'x:1' } } as never, host as never)).filter(
          ({ check }) => check === 'host/db1/state_dir',
        );
      const { uid } = await stat(stateDir);
      expect(await look()).toMatchObject([
        {
          level: 'warning',
          message: expect.stringContaining('embedded.json'),
          fix: `stop the workers, then: sudo chown -R ${uid} ${stateDir}`,
        },
      ]);
      await chown(join(stateDir, 'embedded', 'embedded.json'), uid, uid);
      expect(await look()).toMatchObject([{ level: 'ok' }]);
      await chmod(stateDir, 0o755);
      expect(await look()).toMatchObject([{ level: 'problem' }]);
    },
  );

  it('says the same thing once', () => {
    const findings = [
      problem('host/db1/state_dir', 'it belongs to user 5', 'chown'),
      problem('host/db1/state_dir/path', 'the directory belongs to user 5, who could replace it', 'chown'),
      problem('cluster/a/data_dir/path', 'every user may write there', 'chmod'),
      warning('cluster/a/tools/pg_dump', 'pg_dump is older', 'upgrade'),
      warning('cluster/b/tools/pg_dump', 'pg_dump is older', 'upgrade'),
    ];
    expect(once(findings)).toEqual([findings[0], findings[2], findings[3]]);
  });

  it('a file that this user may not use is no internal error', () => {
    const refused = Object.assign(new Error("EACCES: permission denied, mkdir '/var/lib/reprise'"), {
      code: 'EACCES',
      syscall: 'mkdir',
    });
    expect(toRepriseError(refused)).toMatchObject({ code: 'privilege-missing' });
  });
});
