import type { SealedEvidence } from '../../domain/drill/drill.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { isPlainName } from '../../files/safe-names.js';
import type { ReadableStorage, WritableStorage } from '../../storage/storage.js';
import { sha256Hex } from '../digest.js';
import {
  CHAIN,
  type EvidenceManifest,
  MANIFEST,
  SIGNATURE,
  SUMS,
  evidenceFile,
  manifestText,
  parseManifest,
  sumsText,
} from './manifest.js';

/** Each loss means that somebody else sealed a drill of the cluster: so many in a row is no coincidence. */
const MOST_TRIES = 20;

/** What is sealed: contents by their names, and what the manifest says of the drill. */
export interface Unsealed {
  readonly about: Pick<EvidenceManifest, 'cluster' | 'drill' | 'verdict' | 'startedAt' | 'finishedAt'>;
  readonly files: ReadonlyMap<string, string>;
  readonly signer: EvidenceSigner | null;
}

export interface EvidenceSigner {
  /** As `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  /** An armored signature of a text. */
  sign(text: string): Promise<string>;
}

/** The evidence of a drill as it lies in the repository. */
export type Sealed = SealedEvidence & Required<Pick<SealedEvidence, 'sequence'>>;

/** Key of the folder of a drill's evidence. */
export function evidenceFolder(cluster: string, drill: string): string {
  if (isPlainName(drill, 200) && drill !== CHAIN) return `${cluster}/evidence/${drill}`;
  throw new RepriseError(
    'path-refused',
    'a drill id that is no file name has no evidence',
    'use the id that reprise drill list shows',
  );
}

const chainFolder = (cluster: string): string => `${cluster}/evidence/${CHAIN}/`;
const chainKey = (cluster: string, sequence: number): string =>
  `${chainFolder(cluster)}${String(sequence).padStart(8, '0')}.json`;

/** The evidence of one drill that was sealed; null where it was not. */
export async function sealedEvidence(storage: ReadableStorage, cluster: string, drill: string): Promise<Sealed | null> {
  const own = (await sealedManifests(storage, cluster)).find(({ manifest }) => manifest?.drill === drill);
  return own?.manifest == null ? null : sealed(storage, own.manifest, own.bytes);
}

/**
 * Puts the evidence of a drill into the repository: its files, then its manifest, which takes the next number of the cluster's chain
 * by being created there, then signature and manifest beside the files. Killed at any point and repeated with the same files it goes
 * on; a drill that has its number keeps it. Nothing is ever replaced.
 * @throws RepriseError `conflict` where other files of this drill are there
 */
export async function sealEvidence(storage: WritableStorage, unsealed: Unsealed): Promise<Sealed> {
  const { about, signer } = unsealed;
  const folder = evidenceFolder(about.cluster, about.drill);
  const known = (await sealedManifests(storage, about.cluster)).find(({ manifest }) => manifest?.drill === about.drill);
  if (known?.manifest != null) return finish(storage, folder, known.manifest, known.bytes, signer);

  const files = [...unsealed.files].sort(([left], [right]) => (left < right ? -1 : 1));
  const listed = files.map(([name, content]) => evidenceFile(name, content));
  const sums = sumsText(listed);
  for (const [name, content] of [...files, [SUMS, sums] as const]) await put(storage, `${folder}/${name}`, content);

  for (let tries = 1; tries <= MOST_TRIES; tries++) {
    const last = (await sealedManifests(storage, about.cluster)).at(-1);
    const manifest: EvidenceManifest = {
      schemaVersion: 1,
      cluster: about.cluster,
      drill: about.drill,
      sequence: (last?.sequence ?? 0) + 1,
      previous: last === undefined ? null : sha256Hex(last.bytes),
      previousDrill: last?.manifest?.drill ?? null,
      verdict: about.verdict,
      startedAt: about.startedAt,
      finishedAt: about.finishedAt,
      sealedAt: new Date().toISOString(),
      signer: signer?.fingerprint ?? null,
      files: [...listed, evidenceFile(SUMS, sums)],
    };
    const text = manifestText(manifest);
    // A key that cannot sign fails here, while nothing says yet that it did.
    await signer?.sign(text);
    if (await storage.createIfAbsent(chainKey(about.cluster, manifest.sequence), text, { keep: true }))
      return finish(storage, folder, manifest, Buffer.from(text), signer);
  }
  throw new RepriseError(
    'conflict',
    `the evidence of drill ${about.drill} could not be added: other drills were faster ${MOST_TRIES} times`,
    'find out which other program writes to this repository, then try again',
  );
}

/** What is left once the number is taken: the same text beside the files, and its signature. */
async function finish(
  storage: WritableStorage,
  folder: string,
  manifest: EvidenceManifest,
  bytes: Buffer,
  signer: EvidenceSigner | null,
): Promise<Sealed> {
  await put(storage, `${folder}/${MANIFEST}`, bytes.toString('utf8'));
  // Not every kind of key signs twice alike: the first signature stays.
  if (manifest.signer !== null && (await storage.stat(`${folder}/${SIGNATURE}`)) === null) {
    if (signer?.fingerprint !== manifest.signer)
      throw new RepriseError(
        'key-missing',
        `the evidence of drill ${manifest.drill} says that it is signed with the key ${manifest.signer}, which is not the one of this configuration`,
        'set evidence.signing_key to that key, then try again',
      );
    await storage.createIfAbsent(`${folder}/${SIGNATURE}`, await signer.sign(bytes.toString('utf8')), { keep: true });
  }
  return sealed(storage, manifest, bytes);
}

async function sealed(
  storage: ReadableStorage,
  { cluster, drill, sequence, signer }: EvidenceManifest,
  bytes: Buffer,
): Promise<Sealed> {
  const path = evidenceFolder(cluster, drill);
  const manifest = await storage.stat(`${path}/${MANIFEST}`);
  const lockedUntil = manifest?.lockedUntil;
  return {
    ...{ path, sha256: sha256Hex(bytes), signed: signer !== null, sequence },
    ...(lockedUntil === undefined ? {} : { lockedUntil }),
  };
}

/** Creates a file, or finds it as it should be. */
async function put(storage: WritableStorage, key: string, content: string): Promise<void> {
  if (await storage.createIfAbsent(key, content, { keep: true })) return;
  if ((await storage.read(key)).toString('utf8') === content) return;
  throw new RepriseError(
    'conflict',
    `${key} is in the repository with another content than this drill has`,
    'evidence is never replaced: see who wrote it, move the folder away, then try again',
  );
}

/** Manifests of a cluster's chain by their numbers, ascending; null for one that is none. */
export async function sealedManifests(
  storage: ReadableStorage,
  cluster: string,
): Promise<
  readonly { readonly sequence: number; readonly bytes: Buffer; readonly manifest: EvidenceManifest | null }[]
> {
  const numbers: number[] = [];
  for await (const { key } of storage.list(chainFolder(cluster))) {
    const sequence = Number(/^(\d{8,12})\.json$/.exec(key.slice(chainFolder(cluster).length))?.[1] ?? 0);
    if (sequence >= 1 && chainKey(cluster, sequence) === key) numbers.push(sequence);
  }
  const found = [];
  for (const sequence of numbers.sort((left, right) => left - right)) {
    const bytes = await readIfThere(storage, chainKey(cluster, sequence));
    if (bytes !== null) found.push({ sequence, bytes, manifest: parseManifest(bytes) });
  }
  return found;
}

async function readIfThere(storage: ReadableStorage, key: string): Promise<Buffer | null> {
  try {
    return await storage.read(key);
  } catch (error) {
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  }
}
