import { withoutPassword } from '../../domain/text/redact.js';

/** In place of what was hidden. */
const MASK = '***';

/** Names that only look as if a secret followed. */
const HARMLESS =
  /^(?:password_encryption|passwordcheck\.[\w.]+|passfile|krb_server_keyfile|ssl_key_file|[\w.-]*_key_file|ssl_passphrase_command_supports_reload)$/i;
const SECRET = String.raw`(?:password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|cipher[_-]pass|s3[_-]key|(?:encryption|private|storage|account|libsodium|pgp|kms)[_-]key)`;
/** A whole word with such a name in it, told by looking ahead: no other place in the word is tried. */
const NAMED = String.raw`(?<![\w.-])(?=[\w.-]*${SECRET})[\w.-]+`;
const ASSIGNMENT = new RegExp(`(${NAMED})(\\s*=\\s*)("(?:[^"]|"")*"|'.*'|[^\\s'"]+)`, 'gi');

/**
 * A file of PostgreSQL's configuration without its secrets: passwords in connection strings, `pg_hba.conf` and commands,
 * keys, credentials of an address. Of a quoted value everything up to the end of the line's last quote goes: rather too
 * much than half a password.
 * @returns how many places were hidden, too
 */
export function maskSecrets(text: string): { readonly text: string; readonly masked: number } {
  let masked = 0;
  const hide = (kept: string, hidden = MASK): string => {
    masked += 1;
    return `${kept}${hidden}`;
  };
  const whole = text
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, () => hide(''))
    .replace(/AGE-SECRET-KEY-[\w-]+/gi, () => hide(''))
    .replace(/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, () => hide(''));
  const lines = whole.split('\n').map((line) =>
    line
      .replace(/[^\s']+/g, (word) => {
        const shown = withoutPassword(word);
        return shown === word ? word : hide('', shown);
      })
      .replace(ASSIGNMENT, (found: string, name: string, equals: string, value: string, at: number) => {
        if (HARMLESS.test(name) || /^(?:''|"")$/.test(value)) return found;
        const kept = `${name}${equals}`;
        if (!value.startsWith("'")) return hide(kept);
        // A setting's own quotes stay; within one, the last quote of the line is the setting's.
        const isSetting = line.slice(0, at).trim() === '';
        return `${hide(isSetting ? `${kept}'` : kept)}'`;
      }),
  );
  return { text: lines.join('\n'), masked };
}
