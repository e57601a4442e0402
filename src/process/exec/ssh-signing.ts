import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { runProgram } from './run-program.js';

/** A private key of SSH that texts are signed with. */
export interface SshSigner {
  /** As `ssh-keygen -l` shows it: `SHA256:...`. */
  readonly fingerprint: string;
  /** An armored signature, as `ssh-keygen -Y verify` checks it. */
  sign(text: string): Promise<string>;
}

/** A key with a passphrase would be asked for on a terminal: this says at once that there is none. */
const WITHOUT_PASSPHRASE = { SSH_ASKPASS: '/bin/false', SSH_ASKPASS_REQUIRE: 'force' };

/**
 * Opens a private key by its path; it is read by `ssh-keygen` alone, and its content passes nowhere. `namespace`: what the signatures
 * are for.
 * @throws RepriseError `key-missing` where it cannot be used, `tool-missing` without OpenSSH's client
 */
export async function openSshSigner(path: string, namespace: string, signal?: AbortSignal): Promise<SshSigner> {
  const run = async (argv: readonly string[], input?: string): Promise<string> => {
    try {
      const options = { env: WITHOUT_PASSPHRASE, ...(signal && { signal }), ...(input !== undefined && { input }) };
      return (await runProgram(['ssh-keygen', ...argv], options)).stdout;
    } catch (error) {
      if (!isRepriseError(error) || error.code !== 'tool-failed') throw error;
      throw new RepriseError(
        'key-missing',
        `the key ${path} cannot sign: ${error.message}`,
        'name a private key of SSH without a passphrase, which the user of the worker may read and others may not: ssh-keygen -t ed25519 -N "" -f FILE makes one',
      );
    }
  };
  const shown = await run(['-l', '-E', 'sha256', '-f', path]);
  const fingerprint = /\bSHA256:[A-Za-z0-9+/]+/.exec(shown)?.[0];
  if (fingerprint === undefined) throw new RepriseError('key-missing', `ssh-keygen shows no fingerprint of ${path}`);
  return {
    fingerprint,
    sign: async (text) => `${(await run(['-Y', 'sign', '-f', path, '-n', namespace], text)).trimEnd()}\n`,
  };
}
