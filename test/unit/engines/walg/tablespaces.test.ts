import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { requireSafeToFetch } from '../../../../src/engines/walg/tablespaces.js';

const base = 'base_000000010000000000000002';
const delta = 'base_000000010000000000000003_D_000000010000000000000002';
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'reprise-walg-'));
  await mkdir(join(root, 'basebackups_005'));
});
afterAll(() => rm(root, { recursive: true }));

const write = (label: string, sentinel: unknown) =>
  writeFile(join(root, 'basebackups_005', `${label}_backup_stop_sentinel.json`), JSON.stringify(sentinel));
const spec = { base_prefix: '/data', tablespaces: ['16387'], '16387': { loc: '/srv/cold', link: 'pg_tblspc/16387' } };

/** Of a server that is not there. */
async function fetching(
  label: string,
  { prefix, proven = false, ours = [] }: { prefix: string; proven?: boolean; ours?: readonly string[] },
): Promise<void> {
  const envFile = join(root, 'walg.env');
  await writeFile(envFile, `${prefix}\n`, { mode: 0o600 });
  const connection = { host: join(root, 'nowhere'), port: 5432, user: 'postgres', maintenanceDatabase: 'postgres' };
  const context = {
    cluster: { connection },
    policy: { options: { envFile, binary: 'wal-g' } },
    user: null,
    signal: new AbortController().signal,
  };
  const all = [base, delta].map((one) => ({ label: one, operationId: ours.includes(one) ? 'op' : null }));
  const stored = { label, dependsOn: label === delta ? [base] : [], operationId: null };
  await requireSafeToFetch(context as never, all, { stored, proven });
}
const refused = (message: string) =>
  expect.objectContaining({ code: 'capability-missing', message: expect.stringContaining(message) as unknown });

it('F37: a backup whose record names tablespaces is never fetched, nor one that rests on it', async () => {
  const prefix = `WALG_FILE_PREFIX=${root}`;
  await write(base, { Spec: null });
  await write(delta, {});
  await expect(fetching(delta, { prefix })).resolves.toBeUndefined();
  await write(base, { Spec: spec });
  const everything = { prefix, proven: true, ours: [base, delta] };
  await expect(fetching(base, everything)).rejects.toEqual(refused('16387'));
  await expect(fetching(delta, everything)).rejects.toEqual(refused('16387'));
  await write(base, 'of an unknown form');
  await expect(fetching(delta, { prefix })).rejects.toEqual(refused('the server does not answer'));
});

it('F37: in an object store, with the server lost: our own and what was fetched before, and nothing else', async () => {
  const prefix = 'WALG_S3_PREFIX=s3://bucket/postgres';
  await expect(fetching(delta, { prefix })).rejects.toEqual(refused('the server does not answer'));
  await expect(fetching(delta, { prefix, ours: [delta] })).rejects.toEqual(refused('the server does not answer'));
  await expect(fetching(delta, { prefix, ours: [base, delta] })).resolves.toBeUndefined();
  await expect(fetching(delta, { prefix, proven: true })).resolves.toBeUndefined();
});
