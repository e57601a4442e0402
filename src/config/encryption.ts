import { resolve } from 'node:path';
import type { EncryptionConfig } from '../domain/config.js';
import { engineKinds } from '../engines/registry.js';
import type { ConfigPath, Problem } from './problem.js';
import type { EncryptionText } from './schema/encryption.js';

/** What a policy with an engine may have besides, as far as encryption is concerned. */
interface Encrypting {
  readonly engine: string;
  readonly proof: string;
  readonly encryption?: EncryptionText | undefined;
}

/** The same with whole paths; nothing where there is none. */
export function settledEncryption(
  encryption: EncryptionText | undefined,
  folder: string,
): { encryption?: EncryptionText } {
  if (encryption === undefined) return {};
  const { recipients_file: list, identity } = encryption;
  return {
    encryption: {
      ...encryption,
      ...(list === undefined ? {} : { recipients_file: resolve(folder, list) }),
      ...(identity?.file === undefined ? {} : { identity: { file: resolve(folder, identity.file) } }),
    },
  };
}

/** A repository's encryption is that of the policies whose engine leaves encrypting to us. */
export function inheritedEncryption(
  policy: Encrypting,
  ofRepository: EncryptionText | undefined,
  folder: string,
): { encryption?: EncryptionText } {
  return settledEncryption(policy.encryption ?? (canEncrypt(policy.engine) ? ofRepository : undefined), folder);
}

export function checkEncryption({ engine, proof, encryption }: Encrypting, at: ConfigPath): Problem[] {
  if (encryption === undefined) return [];
  const problems: Problem[] = [];
  const path = [...at, 'encryption'];
  if (!canEncrypt(engine)) {
    problems.push({
      path,
      atKey: true,
      message: `what engine ${engine} writes is not encrypted by Reprise`,
      hint: "take it out, and use the engine's own encryption (pgBackRest: repo1-cipher-type in pgbackrest.conf)",
    });
  }
  if (proof !== 'none' && encryption.identity === undefined) {
    problems.push({
      path: [...at, 'proof'],
      message: `proof: ${proof} reads every backup, and encryption names no identity to read it with`,
      hint: 'add encryption.identity: { file: PATH }; or proof: none, and prove backups on a host that has a key',
    });
  }
  return problems;
}

export function buildEncryption(encryption: EncryptionText | undefined): { encryption?: EncryptionConfig } {
  if (encryption === undefined) return {};
  const { recipients, recipients_file: recipientsFile, identity } = encryption;
  return {
    encryption: {
      recipients,
      ...(recipientsFile === undefined ? {} : { recipientsFile }),
      ...(identity?.file === undefined ? {} : { identity: { file: identity.file } }),
      ...(identity?.command === undefined ? {} : { identity: { command: identity.command } }),
    },
  };
}

const canEncrypt = (engine: string): boolean => engineKinds[engine]?.engine.capabilities.encrypts === true;
