import { readFile, stat, statfs } from 'node:fs/promises';
import type { ClusterConfig, Config, PolicyConfig } from '../domain/config.js';
import { engineKinds } from '../engines/registry.js';
import { nearestExisting } from '../postgres/server/disk.js';
import { localPathOf } from './repository.js';

/** Where the backups of one policy are, seen from the cluster's host. */
export interface PolicyPlace {
  /** Directory on this host; null elsewhere. */
  readonly path: string | null;
  /** Device number of that directory; null where there is none. */
  readonly device: number | null;
  /** On another machine than the cluster, as far as can be seen from here. */
  readonly elsewhere: boolean;
  readonly encrypted: boolean;
  readonly encryptHint: string;
  readonly warnings: readonly string[];
}

/** File systems of other machines, by the number statfs gives them (statfs(2), `linux/magic.h`): NFS, SMB, CIFS, Ceph, 9P. */
const NETWORK = new Set([0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x00c36400, 0x01021997]);

const OWN_ENCRYPTION =
  'add encryption: { recipients: [age1..., age1...], identity: { file: ... } }, see docs/encryption.md';

/** For an engine whose files are not encrypted by Reprise: config check refuses `encryption` there. */
const BELOW =
  'keep that repository on an encrypted file system (cryptsetup), or in a bucket that encrypts; or use an engine that encrypts (logical, pgbackrest, walg)';

/** @throws RepriseError where the engine's own configuration cannot be read */
export async function placeOf(config: Config, cluster: ClusterConfig, policy: PolicyConfig): Promise<PolicyPlace> {
  const ofEngine = await engineKinds[policy.engine]?.inspectPlace?.(policy.options);
  const { path, encrypted, encryptHint, warnings } = ofEngine ?? {
    path: pathOfRepository(config, cluster, policy),
    encrypted: false,
    encryptHint: engineKinds[policy.engine]?.capabilities.encrypts ? OWN_ENCRYPTION : BELOW,
    warnings: [],
  };
  if (path === null) return { path, device: null, elsewhere: true, encrypted, encryptHint, warnings };
  const existing = await nearestExisting(path);
  const [{ dev: device }, { type }] = await Promise.all([stat(existing), statfs(existing)]);
  const elsewhere = NETWORK.has(type);
  return { path, device, elsewhere, encrypted: encrypted || (await onEncryptedDevice(device)), encryptHint, warnings };
}

/** Directory of the policy's repository; null where that is elsewhere. */
function pathOfRepository(config: Config, cluster: ClusterConfig, policy: PolicyConfig): string | null {
  const repository = config.repositories[policy.repository];
  return repository === undefined || (repository.host ?? cluster.host) !== cluster.host
    ? null
    : localPathOf(repository);
}

/** Device of a directory, or of its nearest ancestor that exists. */
export async function deviceOf(path: string): Promise<number> {
  return (await stat(await nearestExisting(path))).dev;
}

/** A device-mapper device made by cryptsetup says so in its uuid. */
async function onEncryptedDevice(device: number): Promise<boolean> {
  // gnu_dev_major and gnu_dev_minor of glibc, for numbers below 2^32.
  const [major, minor] = [(device >>> 8) & 0xfff, (device & 0xff) | ((device >>> 12) & 0xfff00)];
  const uuid = await readFile(`/sys/dev/block/${major}:${minor}/dm/uuid`, 'utf8').catch(() => '');
  return uuid.startsWith('CRYPT-');
}
