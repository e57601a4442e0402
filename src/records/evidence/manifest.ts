import { z } from 'zod';
import { isPlainName } from '../../files/safe-names.js';
import { sha256Hex } from '../digest.js';

/** A file of the evidence of one drill. `name`: below its folder, `/` between its parts. */
export interface EvidenceFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * What the evidence of one drill consists of: everything else in its folder by its hash, and the manifest of the drill before by its
 * own, so that neither a file nor a drill can be changed, added or left out unseen. It is signed as it lies there, byte for byte.
 */
export interface EvidenceManifest {
  readonly schemaVersion: 1;
  readonly cluster: string;
  readonly drill: string;
  /** From 1, without a gap in a cluster. */
  readonly sequence: number;
  /** SHA-256 (hex) of the manifest before, of the drill named `previousDrill`; null for the first. */
  readonly previous: string | null;
  readonly previousDrill: string | null;
  readonly verdict: 'pass' | 'fail' | 'incomplete';
  /** UTC ISO-8601, as the next two. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly sealedAt: string;
  /** Fingerprint of the key that signs it, as `ssh-keygen -l` shows it; null: it is not signed. */
  readonly signer: string | null;
  readonly files: readonly EvidenceFile[];
}

export const MANIFEST = 'manifest.json';
export const SIGNATURE = 'manifest.json.sig';
/** The hashes once more, for `sha256sum -c`; the manifest holds the hash of this file. */
export const SUMS = 'SHA256SUMS';
/** Folder with a copy of every manifest of a cluster, by its number: the number is taken by creating it. */
export const CHAIN = 'chain';
/** What a signature is for: one for anything else does not count. */
export const NAMESPACE = 'reprise-evidence';

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const manifest = z.looseObject({
  schemaVersion: z.literal(1),
  cluster: z.string().min(1),
  drill: z.string().min(1),
  sequence: z.int().min(1),
  previous: hash.nullable(),
  previousDrill: z.string().nullable(),
  verdict: z.enum(['pass', 'fail', 'incomplete']),
  startedAt: z.string(),
  finishedAt: z.string(),
  sealedAt: z.string(),
  signer: z.string().nullable(),
  files: z.array(z.looseObject({ name: z.string(), sizeBytes: z.int().nonnegative(), sha256: hash })),
});

/** The manifest that a file holds; null for anything else. */
export function parseManifest(bytes: Buffer): EvidenceManifest | null {
  try {
    const parsed = manifest.safeParse(JSON.parse(bytes.toString('utf8')));
    return parsed.success ? (parsed.data as EvidenceManifest) : null;
  } catch {
    return null;
  }
}

export function manifestText(content: EvidenceManifest): string {
  return `${JSON.stringify(content, null, 1)}\n`;
}

/** A content with its hash, under a name. */
export function evidenceFile(name: string, content: string): EvidenceFile {
  return { name, sizeBytes: Buffer.byteLength(content), sha256: sha256Hex(content) };
}

/** As `sha256sum` writes it. */
export function sumsText(files: readonly EvidenceFile[]): string {
  return files.map(({ sha256, name }) => `${sha256}  ${name}\n`).join('');
}

/** Whether a name of a manifest, which others may have written, leads to a file below its folder. */
export function isEvidenceName(name: string): boolean {
  const parts = name.split('/');
  return parts.length <= 4 && parts.every((part) => isPlainName(part, 120));
}
