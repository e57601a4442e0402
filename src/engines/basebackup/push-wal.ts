import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import { RepriseError } from '../../domain/errors.js';
import type { WritableStorage } from '../../storage/storage.js';
import { walKey } from './names.js';
import type { PolicyFolder } from '../shared/policy-folder.js';

const pack = promisify(gzip);
const unpack = promisify(gunzip);
type Repository = PolicyFolder & { readonly storage: WritableStorage };

/**
 * Stores one finished file of WAL under its name, once: what is there already has to be the same, byte for byte.
 * @throws RepriseError `conflict` where it is another
 */
export async function pushWal(repository: Repository, name: string, path: string): Promise<void> {
  const content = await readFile(path);
  const key = walKey(repository, name);
  if (await repository.storage.createIfAbsent(key, await packed(content))) return;
  // One that cannot be read now is waited for; one that cannot be unpacked is another.
  const found = await repository.storage.read(key);
  const stored = await unpack(found).catch(() => null);
  if (stored?.equals(content) === true) return;
  throw new RepriseError(
    'conflict',
    `another WAL file ${name} is in the repository already`,
    'two clusters, or two timelines of one number, write into one archive: give this one a policy of its own',
  );
}

/** Stores the beginning of a segment that is still being written, in place of an earlier one. */
export async function pushBeginning(repository: Repository, segment: string, path: string): Promise<void> {
  await repository.storage.write(walKey(repository, `${segment}.partial`), await packed(await readFile(path)));
}

async function packed(content: Buffer): Promise<Buffer> {
  return pack(content, { level: constants.Z_BEST_SPEED });
}
