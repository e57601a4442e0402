import { execFile } from 'node:child_process';
import { appendFile, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { openSshSigner } from '../../../src/process/exec/ssh-signing.js';
import { sealEvidence } from '../../../src/records/evidence/chain.js';
import { NAMESPACE } from '../../../src/records/evidence/manifest.js';
import { verifyEvidence } from '../../../src/records/evidence/verify.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { repriseHere } from '../../helpers/cli.js';
import { tempDir } from '../../helpers/temp.js';

it('V4: drill evidence verifies a folder without a server and a configuration, and names what was changed: exit 8', async () => {
  const root = await tempDir('evidence');
  const key = join(root, 'evidence_key');
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const about = { cluster: 'mairie', verdict: 'pass' as const, startedAt: '2026-04-05', finishedAt: '2026-04-05' };
  const files = new Map([['report.md', '# Drill\n']]);
  const signer = await openSshSigner(key, NAMESPACE);
  for (const drill of ['d1', 'd2'])
    await sealEvidence(openDirectory({ path: join(root, 'repo') }), { about: { ...about, drill }, files, signer });
  const folder = join(root, 'repo', 'mairie', 'evidence');
  const services = { verifyEvidence };
  const verify = (...more: string[]) =>
    repriseHere(['drill', 'evidence', folder, '--verify', '--public-key', `${key}.pub`, ...more], {}, services);

  const whole = await verify('--json');
  expect(whole.code).toBe(0);
  expect(JSON.parse(whole.stdout)).toMatchObject({ ok: true, folder, drills: [{ sequence: 1 }, { sequence: 2 }] });
  await chmod(join(folder, 'd2', 'report.md'), 0o600);
  await appendFile(join(folder, 'd2', 'report.md'), ' ');
  const changed = await verify();
  expect(changed.code).toBe(8);
  expect(changed.stdout).toContain('file-changed: d2/report.md');
  expect(changed.stdout).toContain('NOT verified');
  expect((await repriseHere(['drill', 'evidence', folder], {}, services)).code).toBe(2);
});
