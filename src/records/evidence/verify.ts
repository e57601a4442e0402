import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readFile, readdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import type { DrillOutcome } from '../../domain/drill/drill.js';
import {
  type CheckedDrill,
  compareRecorded,
  type EvidenceProblem,
  type EvidenceVerification,
} from '../../domain/drill/evidence.js';
import { RepriseError } from '../../domain/errors.js';
import { visible } from '../../domain/text/text.js';
import { sha256Hex } from '../digest.js';
import { parseRecord } from '../envelope.js';
import {
  CHAIN,
  type EvidenceManifest,
  MANIFEST,
  NAMESPACE,
  SIGNATURE,
  isEvidenceName,
  parseManifest,
} from './manifest.js';
import { type SshPublicKey, checkSshSignature, parsePublicKeys } from './ssh-signature.js';

/** A manifest lists some files of a drill: what is bigger is none. */
const MOST_MANIFEST_BYTES = 16 * 1024 * 1024;

interface Read {
  readonly folder: string;
  readonly manifest: EvidenceManifest;
  readonly sha256: string;
  readonly signedBy: string | null;
}

/**
 * Verifies the evidence of one drill, or of all drills below a folder with what links them, from the files and a public key alone.
 * `given`: a folder with a manifest, or one with such folders, as `CLUSTER/evidence` of a repository, or `CLUSTER` itself: the records beside
 * the evidence name its drills too. `publicKeys`: the text of a `.pub` or allowed_signers file. `newest`: SHA-256 (hex) of a manifest that is
 * known to have been there.
 * @throws RepriseError `not-found` where there is no evidence, `usage` for no public key
 */
export async function verifyEvidence(
  given: string,
  publicKeys: string,
  { newest }: { readonly newest?: string | undefined } = {},
): Promise<EvidenceVerification> {
  const trusted = parsePublicKeys(publicKeys);
  const path = await evidenceBelow(given);
  const folders = await foldersWithEvidence(path);
  if (folders.length === 0)
    throw new RepriseError(
      'not-found',
      `there is no evidence in ${path}: neither it nor a folder in it has a ${MANIFEST}`,
      'name the folder of a drill, or the folder CLUSTER/evidence of a copy of the repository',
    );
  const problems: EvidenceProblem[] = [];
  const read: Read[] = [];
  const drills: CheckedDrill[] = [];
  for (const folder of folders) {
    const found = await checkFolder(path, folder, trusted, problems);
    if (found === null) continue;
    read.push(found);
    const { cluster, drill, sequence, verdict, finishedAt, files } = found.manifest;
    const { signedBy } = found;
    drills.push({ folder, cluster, drill, sequence, verdict, finishedAt, files: files.length, signedBy });
  }
  const byCluster = new Map<string, Read[]>();
  for (const one of read) byCluster.set(one.manifest.cluster, [...(byCluster.get(one.manifest.cluster) ?? []), one]);
  const copies = await chainCopies(path);
  for (const [, ofOne] of byCluster) problems.push(...chainProblems(ofOne));
  problems.push(...copyProblems(copies, read));
  const recorded = folders[0] === '' ? null : await recordedBeside(path);
  if (recorded !== null) problems.push(...recordedProblems(recorded, read, problems));
  if (newest !== undefined && !read.some(({ sha256 }) => sha256 === newest.toLowerCase()))
    problems.push({
      ...{ code: 'drill-missing', where: '' },
      text: `no manifest here has the SHA-256 ${visible(newest.slice(0, 64))}: the drill that you know of is missing, or was changed`,
    });
  return {
    ok: problems.length === 0,
    drills: drills.sort((left, right) =>
      left.cluster < right.cluster ? -1 : left.cluster > right.cluster ? 1 : left.sequence - right.sequence,
    ),
    problems,
    startsAt: [...byCluster].flatMap(([cluster, ofOne]) => {
      const sequence = Math.min(...ofOne.map(({ manifest }) => manifest.sequence));
      return sequence === 1 ? [] : [{ cluster, sequence }];
    }),
    recorded: recorded?.length ?? null,
  };
}

/** The folder of a cluster stands for that of its evidence. */
async function evidenceBelow(path: string): Promise<string> {
  const names = await readdir(path).catch(() => [] as string[]);
  const evidence = join(path, 'evidence');
  const isCluster = names.includes('evidence') && !names.includes(MANIFEST) && !names.includes(CHAIN);
  return isCluster && (await foldersWithEvidence(path)).length === 0 ? evidence : path;
}

/** Drills with evidence that the records beside the folder of evidence name, as a repository has them; null: there are none. */
async function recordedBeside(path: string): Promise<readonly DrillOutcome[] | null> {
  const folder = join(dirname(resolve(path)), 'records');
  const names = (await readdir(folder).catch(() => [] as string[])).filter((name) => /^\d{8,12}\.json$/.test(name));
  if (names.length === 0) return null;
  const drills: DrillOutcome[] = [];
  for (const name of names.sort()) {
    const bytes = await readPlain(join(folder, name));
    const record = bytes === null ? null : parseRecord(bytes.toString('utf8'), Number.parseInt(name, 10));
    if (record !== null && 'kind' in record && record.kind === 'drill' && isSealed(record.outcome.evidence))
      drills.push(record.outcome);
  }
  return drills;
}

/** Written by others: what is no evidence says nothing of any. */
function isSealed(evidence: DrillOutcome['evidence'] | undefined): boolean {
  return typeof evidence === 'object' && evidence !== null && typeof evidence.sha256 === 'string';
}

/** What the records name and is not here, unless it was found missing already. */
function recordedProblems(
  recorded: readonly DrillOutcome[],
  read: readonly Read[],
  found: readonly EvidenceProblem[],
): EvidenceProblem[] {
  const sealed = read.map(({ manifest: { drill, sequence }, sha256 }) => ({ drill, sequence, sha256, isThere: true }));
  return compareRecorded(
    recorded.flatMap(({ drillId: drill, evidence }) => (evidence === null ? [] : [{ drill, ...evidence }])),
    sealed,
  )
    .filter(({ drill, code }) => drill !== null && !found.some((one) => one.code === code && one.text.includes(drill)))
    .map(({ code, text }) => ({ code, where: 'records', text }));
}

/** Folders with a manifest, relative to the path; '' for the path itself. One that lost its manifest still has its sums or signature. */
async function foldersWithEvidence(path: string): Promise<readonly string[]> {
  const isOne = async (folder: string) => {
    const names = await readdir(folder).catch(() => [] as string[]);
    return names.includes(MANIFEST) || names.includes(SIGNATURE) || names.includes('SHA256SUMS');
  };
  if (await isOne(path)) return [''];
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    throw new RepriseError('not-found', `${path} cannot be read: ${String((error as Error).message)}`);
  });
  const found: string[] = [];
  for (const { name } of entries.filter((entry) => entry.isDirectory()).sort((a, b) => (a.name < b.name ? -1 : 1)))
    if (await isOne(join(path, name))) found.push(name);
  return found;
}

/** Checks manifest, signature and files of one drill; null where its manifest cannot be read. */
async function checkFolder(
  path: string,
  folder: string,
  trusted: readonly SshPublicKey[],
  problems: EvidenceProblem[],
): Promise<Read | null> {
  const directory = join(path, folder);
  const at = (name: string) => (folder === '' ? name : `${folder}/${name}`);
  const bytes = await readPlain(join(directory, MANIFEST));
  const manifest = bytes && parseManifest(bytes);
  if (bytes === null || manifest === null) {
    const text = bytes === null ? 'its manifest is missing, or no plain file' : 'its manifest cannot be read as one';
    problems.push({
      code: 'manifest-unreadable',
      where: folder,
      text: `${text}: nothing in this folder can be trusted`,
    });
    return null;
  }
  const signature = await signatureOf(directory, bytes, trusted);
  if ('code' in signature) problems.push({ ...signature, where: folder });

  const listed = new Set<string>([MANIFEST, SIGNATURE]);
  for (const { name, sha256 } of manifest.files) {
    listed.add(name);
    const found = isEvidenceName(name) ? await hashOf(join(directory, name)) : null;
    if (found === null)
      problems.push({
        code: 'file-missing',
        where: at(shown(name)),
        text: 'the manifest lists it, and it is not there as a plain file',
      });
    else if (found !== sha256)
      problems.push({
        code: 'file-changed',
        where: at(name),
        text: `its SHA-256 is ${found}, and the manifest has ${sha256}`,
      });
  }
  for (const name of await namesBelow(directory))
    if (!listed.has(name))
      problems.push({
        code: 'file-added',
        where: at(shown(name)),
        text: 'it is there, and the manifest does not list it',
      });
  return { folder, manifest, sha256: sha256Hex(bytes), signedBy: 'by' in signature ? signature.by.fingerprint : null };
}

async function signatureOf(
  directory: string,
  manifest: Buffer,
  trusted: readonly SshPublicKey[],
): Promise<Pick<EvidenceProblem, 'code' | 'text'> | { readonly by: SshPublicKey }> {
  const signature = await readPlain(join(directory, SIGNATURE));
  if (signature === null)
    return { code: 'not-signed', text: `${SIGNATURE} is missing: nobody vouches for the hashes of this manifest` };
  const check = checkSshSignature(signature.toString('latin1'), manifest, NAMESPACE, trusted);
  if ('by' in check) return check;
  return { code: check.wrong === 'other-key' ? 'key-wrong' : 'signature-wrong', text: check.text };
}

/** What is wrong between the drills of one cluster. */
function chainProblems(read: readonly Read[]): EvidenceProblem[] {
  const sorted = read.toSorted((left, right) => left.manifest.sequence - right.manifest.sequence);
  const problems: EvidenceProblem[] = [];
  for (const [index, { folder, manifest, sha256 }] of sorted.entries()) {
    const { sequence, previous, previousDrill, cluster } = manifest;
    const before = sorted[index - 1];
    if (before === undefined) {
      if (sequence === 1 && previous !== null)
        problems.push({ code: 'chain-broken', where: folder, text: 'it is number 1, and names a drill before it' });
      continue;
    }
    const text = (rest: string) => `number ${sequence} of cluster ${visible(cluster)} ${rest}`;
    if (before.manifest.sequence === sequence) {
      problems.push({
        code: 'sequence-twice',
        where: folder,
        text: text(`is also in ${before.folder || 'another folder'}`),
      });
    } else if (before.manifest.sequence !== sequence - 1) {
      const [first, last] = [before.manifest.sequence + 1, sequence - 1];
      const named = previousDrill === null ? '' : ` (the last of them: drill ${visible(previousDrill)})`;
      const numbers = first === last ? `number ${first} is` : `numbers ${first} to ${last} are`;
      problems.push({ code: 'drill-missing', where: folder, text: `${numbers} missing before it${named}` });
    } else if (previous !== before.sha256) {
      const other = sorted.find((one) => one.sha256 === previous && one.sha256 !== sha256);
      problems.push(
        other
          ? {
              code: 'chain-reordered',
              where: folder,
              text: text(`follows number ${other.manifest.sequence}, not ${sequence - 1}`),
            }
          : {
              code: 'chain-broken',
              where: folder,
              text: text(
                `was made after another manifest than that of number ${sequence - 1}, which was changed or replaced`,
              ),
            },
      );
    }
  }
  return problems;
}

interface ChainCopy {
  readonly name: string;
  readonly sha256: string;
  readonly manifest: EvidenceManifest | null;
}

/** The copies of manifests beside the folders, as a repository has them. */
async function chainCopies(path: string): Promise<readonly ChainCopy[]> {
  const names = (await readdir(join(path, CHAIN)).catch(() => [] as string[])).filter((name) => name.endsWith('.json'));
  return Promise.all(
    names.sort().map(async (name) => {
      const bytes = await readPlain(join(path, CHAIN, name));
      return { name, sha256: bytes === null ? '' : sha256Hex(bytes), manifest: bytes && parseManifest(bytes) };
    }),
  );
}

/** Every number that was taken has its folder, also the last one, and the same manifest in it. */
function copyProblems(copies: readonly ChainCopy[], read: readonly Read[]): EvidenceProblem[] {
  return copies.flatMap(({ name, sha256, manifest }): EvidenceProblem[] => {
    const where = `${CHAIN}/${name}`;
    if (manifest === null) return [{ code: 'manifest-unreadable', where, text: 'it cannot be read as a manifest' }];
    const own = read.find((one) => one.manifest.drill === manifest.drill && one.manifest.cluster === manifest.cluster);
    if (own === undefined)
      return [
        {
          code: 'drill-missing',
          where,
          text: `drill ${visible(manifest.drill)} took this number, and its folder is missing`,
        },
      ];
    if (Number.parseInt(name, 10) !== manifest.sequence)
      return [
        {
          code: 'chain-reordered',
          where,
          text: `it holds the manifest of number ${manifest.sequence}: it was renamed`,
        },
      ];
    return own.sha256 === sha256
      ? []
      : [{ code: 'chain-broken', where, text: `the manifest in ${own.folder} is not the one that took this number` }];
  });
}

const shown = (name: string): string => visible(name.slice(0, 200));

/** A small file; null where there is none, or something that is no plain file. */
async function readPlain(path: string): Promise<Buffer | null> {
  const found = await lstat(path).catch(() => null);
  return found?.isFile() === true && found.size <= MOST_MANIFEST_BYTES ? readFile(path) : null;
}

async function hashOf(path: string): Promise<string | null> {
  const found = await lstat(path).catch(() => null);
  if (found?.isFile() !== true) return null;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Everything below a folder that is no folder itself: links too. */
async function namesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}
