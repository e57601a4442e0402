import { randomInt } from 'node:crypto';
import { RepriseError } from '../../domain/errors.js';
import type { InspectionResults } from '../../domain/operation/inspections.js';
import { recipientsOf } from '../../process/age/age-keys.js';
import { encryptText } from '../../process/age/age-text.js';
import { sha256Hex } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { openClusterContext, policyOf, record, type ClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** A holder may have to travel to where the key is kept; after this a challenge is no proof that it is there now. */
const CHALLENGE_DAYS = 30;
/** Letters and digits that are not taken for one another when they are read out or typed. */
const LETTERS = 'abcdefghjkmnpqrstuvwxyz23456789';

interface Asked {
  readonly cluster: string;
  readonly policy: string;
  readonly recipient?: string;
}

/** A random text for each recipient, encrypted for nobody but that one; of the text only a hash stays here. */
export async function challengeKeys(
  deps: HostDependencies,
  { cluster, policy, recipient }: Asked,
): Promise<InspectionResults['key-challenge']> {
  const clusterContext = await openClusterContext(deps, cluster);
  const recipients = await keysOf(clusterContext, policy, recipient);
  const { keyProofs } = await clusterContext.catalogue.state();
  const challenges = [];
  for (const one of recipients) {
    const answer = randomWords();
    await openHostState(clusterContext.host.stateDir).recordDone(challengesOf(cluster), hashOf(one, answer), {
      at: new Date().toISOString(),
    });
    const challenge = await encryptText([one], `${answer}\n`, clusterContext.user);
    challenges.push({ recipient: one, challenge, provenAt: keyProofs.get(one)?.at ?? null });
  }
  return { challenges };
}

/**
 * Records that somebody has the private key of a recipient: only with it can the answer be read. An answer given again
 * adds nothing, so that an old one makes no newer proof.
 * @throws RepriseError `check-failed` for any other answer, or one that came too late
 */
export async function proveKey(
  deps: HostDependencies,
  { cluster, policy, recipient, answer, by }: Asked & { recipient: string; answer: string; by: string },
): Promise<InspectionResults['key-answer']> {
  const clusterContext = await openClusterContext(deps, cluster);
  await keysOf(clusterContext, policy, recipient);
  const hash = hashOf(recipient, answer);
  const asked = await openHostState(clusterContext.host.stateDir).onceDone<{ at: string }>(challengesOf(cluster), hash);
  const inTime = asked !== null && Date.now() - Date.parse(asked.result.at) < CHALLENGE_DAYS * 86_400_000;
  if (!inTime) {
    throw new RepriseError(
      'check-failed',
      'wrong answer: this is not the text that was encrypted for that key',
      `make a new challenge: reprise key prove ${cluster} --policy ${policy} --recipient ${recipient} --challenge FILE`,
    );
  }
  await record(clusterContext, { operationId: challengesOf(cluster) }, hash, { kind: 'key-proof', recipient }, by);
  const proof = (await clusterContext.catalogue.state()).keyProofs.get(recipient);
  return { recipient, provenAt: proof?.at ?? new Date().toISOString() };
}

/** Recipients of a policy, or the one that was named. Throws `capability-missing`, `not-found`. */
async function keysOf(
  clusterContext: ClusterContext,
  policyName: string,
  named: string | undefined,
): Promise<readonly string[]> {
  const { encryption } = policyOf(clusterContext, policyName);
  if (encryption === undefined) {
    throw new RepriseError(
      'capability-missing',
      `what policy ${policyName} of ${clusterContext.cluster.name} writes is not encrypted: there is no key to prove`,
      'add encryption: to the policy, see docs/encryption.md',
    );
  }
  const recipients = await recipientsOf(encryption);
  if (named === undefined) return recipients;
  if (recipients.includes(named)) return [named];
  throw new RepriseError(
    'not-found',
    `${named} is no recipient of policy ${policyName}`,
    `its recipients: ${recipients.join(', ')}`,
  );
}

const challengesOf = (cluster: string): string => `key-proof-${cluster}`;
const hashOf = (recipient: string, answer: string): string => sha256Hex(`${recipient}\n${answer.trim().toLowerCase()}`);

/** About 99 bits, in four words. */
function randomWords(): string {
  const word = (): string => Array.from({ length: 5 }, () => LETTERS[randomInt(LETTERS.length)]).join('');
  return [word(), word(), word(), word()].join('-');
}
