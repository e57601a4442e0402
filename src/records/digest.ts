import { createHash } from 'node:crypto';
import { canonicalJson } from '../domain/text/canonical-json.js';
import type { ApprovableBinding } from '../domain/plan/plan.js';

/** SHA-256 of a text's UTF-8 bytes, or of bytes, in 64 lowercase hex digits. */
export function sha256Hex(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Digest of what a person approves: SHA-256 of the binding's canonical JSON. What was merely observed is not in it. */
export function planDigest(binding: ApprovableBinding): string {
  return sha256Hex(canonicalJson(binding));
}

/** Whether a text is a whole digest, and so safe as a file's name. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
