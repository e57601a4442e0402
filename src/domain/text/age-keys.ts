const CHARACTERS = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const PREFIX = 'age';
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
/** 32 bytes of an X25519 key as digits of five bits, and six of check sum. */
const DIGITS = 58;

/**
 * Whether a text is a public key of age (`age1...`, X25519) with its check sum right, so that a slip in one letter is
 * found when the config is read and not when a dump is needed. Bech32 as in BIP 173; age's own rules in C2SP age.md.
 */
export function isAgeRecipient(text: string): boolean {
  const [prefix, digits = ''] = [text.slice(0, PREFIX.length + 1), text.slice(PREFIX.length + 1)];
  const values = [...digits].map((character) => CHARACTERS.indexOf(character));
  if (prefix !== `${PREFIX}1` || values.length !== DIGITS || values.includes(-1)) return false;
  const high = [...PREFIX].map((character) => character.charCodeAt(0) >> 5);
  const low = [...PREFIX].map((character) => character.charCodeAt(0) & 31);
  return checkSum([...high, 0, ...low, ...values]) === 1;
}

/** Whether a text holds a private key of age: it must be in no config, message or log. */
export function holdsAgeIdentity(text: string): boolean {
  return /AGE-SECRET-KEY-/i.test(text);
}

/** A public key short enough for a line, long enough to be told from another. */
export function shortRecipient(recipient: string): string {
  return recipient.length <= 20 ? recipient : `${recipient.slice(0, 12)}…${recipient.slice(-6)}`;
}

function checkSum(values: readonly number[]): number {
  return values.reduce((sum, value) => {
    const top = sum >>> 25;
    const shifted = ((sum & 0x1ffffff) << 5) ^ value;
    return GENERATOR.reduce((mixed, part, bit) => ((top >>> bit) & 1 ? mixed ^ part : mixed), shifted);
  }, 1);
}
