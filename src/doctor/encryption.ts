import type { ClusterConfig, Config, EncryptionConfig, PolicyConfig } from '../domain/config.js';
import { shortRecipient } from '../domain/text/age-keys.js';
import type { KeyProof } from '../domain/backup/catalogue.js';
import { collectFindings, ok, warning, type Finding } from '../domain/findings.js';
import { recipientsOf, tryEncryption } from '../process/age/age-keys.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { jobUser } from '../process/exec/users.js';
import { openCatalogueForReading } from '../records/catalogue.js';
import { openStorage } from '../storage/open-storage.js';
import { placeOf } from './places.js';
import { localPathOf } from './repository.js';
import { pathExists } from '../files/paths.js';

/** A key that nobody has used for so long may be lost, or nobody may know where it is. */
const PROOF_DAYS = 365;

/** How what the policies of a cluster write is encrypted, and whether anybody but this host can open it. */
export async function encryptionFindings(config: Config, cluster: ClusterConfig): Promise<readonly Finding[]> {
  const found = Object.values(cluster.policies)
    .filter(({ enabled }) => enabled)
    .map((policy) => {
      const check = `cluster/${cluster.name}/encryption/${policy.name}`;
      return collectFindings(check, () => policyFindings(config, cluster, policy, check));
    });
  return (await Promise.all(found)).flat();
}

async function policyFindings(
  config: Config,
  cluster: ClusterConfig,
  policy: PolicyConfig,
  check: string,
): Promise<readonly Finding[]> {
  const named = `policy ${policy.name} of ${cluster.name}`;
  if (policy.encryption !== undefined) return keyFindings(config, cluster, policy, policy.encryption, check);
  const { path, encrypted, encryptHint } = await placeOf(config, cluster, policy);
  if (encrypted) return [ok(check, `${named}: its backups are encrypted on their storage`)];
  return [
    warning(
      check,
      `${named} writes unencrypted${path === null ? '' : ` in ${path}`}: anyone who can read its files can read the database, with its password hashes`,
      encryptHint,
    ),
  ];
}

async function keyFindings(
  config: Config,
  cluster: ClusterConfig,
  policy: PolicyConfig,
  encryption: EncryptionConfig,
  check: string,
): Promise<readonly Finding[]> {
  const named = `policy ${policy.name} of ${cluster.name}`;
  const tried = await collectFindings(
    check,
    async () => (await tryEncryption(encryption, { user: await jobUser(cluster.dataDir) }), []),
  );
  const findings = tried.map((finding) => ({ ...finding, message: `${named}: ${finding.message}` }));
  if (encryption.identity === undefined) {
    findings.push(
      warning(
        check,
        `${named}: this host has no key, so it can neither verify nor restore its backups`,
        'add encryption.identity, or verify and restore on a host that has a key',
      ),
    );
  }
  const recipients = await recipientsOf(encryption);
  if (recipients.length < 2) {
    findings.push(
      warning(
        check,
        `${named} is encrypted for one key only: if that key is lost, all its backups are lost`,
        'add a second recipient whose private key is kept elsewhere (escrow): age-keygen -o escrow.txt, see docs/encryption.md',
      ),
    );
  }
  const proofs = await keyProofs(config, cluster);
  const proven = recipients.filter((recipient) => isRecent(proofs.get(recipient)));
  if (proven.length === 0) {
    findings.push(
      warning(
        check,
        `${named}: it was not verified within the last year that a key to its backups is kept elsewhere`,
        `reprise key prove ${cluster.name} --policy ${policy.name}`,
      ),
    );
  }
  if (findings.some(({ level }) => level === 'problem')) return findings;
  return [
    ...findings,
    ok(
      check,
      `${named} is encrypted for ${recipients.map(shortRecipient).join(', ')}; ${proven.length} of ${recipients.length} verified within the last year`,
    ),
  ];
}

async function keyProofs(config: Config, cluster: ClusterConfig): Promise<ReadonlyMap<string, KeyProof>> {
  const repository = config.repositories[cluster.catalogue];
  const path = repository === undefined ? null : localPathOf(repository);
  const isThere = path === null || (await pathExists(path));
  // Opening one that is not there would make it.
  if (repository === undefined || !isThere) return new Map();
  return (await openCatalogueForReading(openStorage(repository, { secret: resolveSecret }), cluster.name).state())
    .keyProofs;
}

const isRecent = (proof: KeyProof | undefined): boolean =>
  proof !== undefined && Date.now() - Date.parse(proof.at) < PROOF_DAYS * 86_400_000;
