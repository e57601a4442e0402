import { type JsonWebKey, type KeyObject, createHash, createPublicKey, verify } from 'node:crypto';
import { RepriseError } from '../../domain/errors.js';

/** A public key of SSH. */
export interface SshPublicKey {
  /** `ssh-ed25519`, `ssh-rsa`, `ecdsa-sha2-nistp256`... */
  readonly type: string;
  /** As `ssh-keygen -l` shows it: `SHA256:...`. */
  readonly fingerprint: string;
  readonly blob: Buffer;
  readonly key: KeyObject;
}

/** How a signature was checked: by one of the keys, or why not. */
export type SignatureCheck =
  | { readonly by: SshPublicKey }
  | { readonly wrong: 'unreadable' | 'other-purpose' | 'other-key' | 'other-content'; readonly text: string };

const MAGIC = 'SSHSIG';
const CURVES: Readonly<Record<string, { readonly curve: string; readonly bytes: number; readonly hash: string }>> = {
  nistp256: { curve: 'P-256', bytes: 32, hash: 'sha256' },
  nistp384: { curve: 'P-384', bytes: 48, hash: 'sha384' },
  nistp521: { curve: 'P-521', bytes: 66, hash: 'sha512' },
};
const RSA_HASHES: Readonly<Record<string, string>> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' };

/**
 * The public keys of a `.pub` file or of an allowed_signers file.
 * @throws RepriseError `usage` where there is none, or one of a kind that cannot be checked here
 */
export function parsePublicKeys(text: string): readonly SshPublicKey[] {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const keys = lines.map((line) => {
    const found = /(?:^|\s)((?:ssh-|ecdsa-sha2-|sk-)[\w@.-]+)\s+([A-Za-z0-9+/]+=*)(?:\s|$)/.exec(line);
    if (found === null) throw noKey(`the line "${line.slice(0, 40)}" holds none`);
    const blob = Buffer.from(found[2] ?? '', 'base64');
    try {
      return publicKey(blob);
    } catch (error) {
      throw noKey(error instanceof Error ? error.message : String(error));
    }
  });
  if (keys.length === 0) throw noKey('the file is empty');
  return keys;
}

/** Checks a signature as `ssh-keygen -Y sign` makes it (PROTOCOL.sshsig of OpenSSH), against keys that are trusted. */
export function checkSshSignature(
  armored: string,
  content: Buffer,
  namespace: string,
  trusted: readonly SshPublicKey[],
): SignatureCheck {
  let signed: SignatureFields;
  try {
    signed = readSignature(armored);
  } catch {
    return { wrong: 'unreadable', text: 'the signature is no signature of SSH' };
  }
  if (signed.namespace !== namespace)
    return {
      wrong: 'other-purpose',
      text: `the signature was made for "${signed.namespace.slice(0, 40)}", not for "${namespace}"`,
    };
  const by = trusted.find(({ blob }) => blob.equals(signed.publicKey));
  if (by === undefined)
    return {
      wrong: 'other-key',
      text: `it was signed with another key, ${fingerprintOf(signed.publicKey)}; trusted: ${trusted.map(({ fingerprint }) => fingerprint).join(', ')}`,
    };
  return isBy(by, signed, content)
    ? { by }
    : { wrong: 'other-content', text: 'the signature is of another content: it was changed after it was signed' };
}

interface SignatureFields {
  readonly publicKey: Buffer;
  readonly namespace: string;
  readonly reserved: Buffer;
  readonly hash: string;
  readonly algorithm: string;
  readonly signature: Buffer;
}

/** @throws Error for anything that is none */
function readSignature(armored: string): SignatureFields {
  const body = /^-----BEGIN SSH SIGNATURE-----\s+([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*$/.exec(armored)?.[1];
  const reader = new Reader(Buffer.from(body ?? '', 'base64'));
  if (reader.bytes(MAGIC.length).toString('latin1') !== MAGIC || reader.number() !== 1) throw new Error('no SSHSIG');
  const [publicKey, namespace, reserved, hash] = [reader.string(), reader.text(), reader.string(), reader.text()];
  const inner = new Reader(reader.string());
  if (hash !== 'sha256' && hash !== 'sha512') throw new Error('unknown hash');
  return { publicKey, namespace, reserved, hash, algorithm: inner.text(), signature: inner.string() };
}

function isBy({ key, type }: SshPublicKey, signed: SignatureFields, content: Buffer): boolean {
  const message = Buffer.concat([
    Buffer.from(MAGIC, 'latin1'),
    ...[Buffer.from(signed.namespace, 'utf8'), signed.reserved, Buffer.from(signed.hash, 'latin1')].map(framed),
    framed(createHash(signed.hash).update(content).digest()),
  ]);
  try {
    if (type === 'ssh-ed25519') return signed.algorithm === type && verify(null, message, key, signed.signature);
    if (type === 'ssh-rsa') {
      const hash = RSA_HASHES[signed.algorithm];
      return hash !== undefined && verify(hash, message, key, signed.signature);
    }
    const curve = curveOf(type);
    const reader = new Reader(signed.signature);
    const pair = Buffer.concat([padded(reader.string(), curve.bytes), padded(reader.string(), curve.bytes)]);
    return signed.algorithm === type && verify(curve.hash, message, { key, dsaEncoding: 'ieee-p1363' }, pair);
  } catch {
    return false;
  }
}

/** @throws Error for a kind that is not known here */
function publicKey(blob: Buffer): SshPublicKey {
  const reader = new Reader(blob);
  const type = reader.text();
  return { type, blob, fingerprint: fingerprintOf(blob), key: keyOf(type, reader) };
}

function keyOf(type: string, reader: Reader): KeyObject {
  const url = (bytes: Buffer) => bytes.toString('base64url');
  const from = (key: JsonWebKey) => createPublicKey({ key, format: 'jwk' });
  if (type === 'ssh-ed25519') return from({ kty: 'OKP', crv: 'Ed25519', x: url(reader.string()) });
  if (type === 'ssh-rsa') {
    const [e, n] = [reader.string(), reader.string()];
    return from({ kty: 'RSA', e: url(e), n: url(n[0] === 0 ? n.subarray(1) : n) });
  }
  const { curve, bytes } = curveOf(type);
  reader.string();
  const point = reader.string();
  if (point[0] !== 4 || point.length !== 1 + 2 * bytes) throw new Error('its point is compressed');
  return from({ kty: 'EC', crv: curve, x: url(point.subarray(1, 1 + bytes)), y: url(point.subarray(1 + bytes)) });
}

function curveOf(type: string) {
  const curve = CURVES[type.replace(/^ecdsa-sha2-/, '')];
  if (curve === undefined) throw new Error(`a key of kind ${type.slice(0, 40)} cannot be checked here`);
  return curve;
}

function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** A number of SSH without the zeroes before it, as many bytes long as the curve has. */
function padded(number: Buffer, bytes: number): Buffer {
  const digits = number.subarray(Math.max(0, number.length - bytes));
  return Buffer.concat([Buffer.alloc(bytes - digits.length), digits]);
}

function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The fields of SSH's binary format, one after the other. */
class Reader {
  private at = 0;

  constructor(private readonly content: Buffer) {}

  bytes(count: number): Buffer {
    if (this.at + count > this.content.length) throw new Error('it ends too early');
    this.at += count;
    return this.content.subarray(this.at - count, this.at);
  }

  number(): number {
    return this.bytes(4).readUInt32BE();
  }

  string(): Buffer {
    return this.bytes(this.number());
  }

  text(): string {
    return this.string().toString('utf8');
  }
}

function noKey(why: string): RepriseError {
  return new RepriseError(
    'usage',
    `this is no file with a public key of SSH: ${why}`,
    'give the .pub file of the key that signs evidence, of kind ed25519, ecdsa or rsa, or a file of allowed signers',
  );
}
