import type { SecretReference } from '../domain/config.js';

/** Whether a value of the config is a reference and so may be shown. */
export function isSecretReference(value: unknown): value is SecretReference {
  if (typeof value !== 'object' || value === null) return false;
  const [key, ...others] = Object.keys(value);
  return others.length === 0 && (key === 'env' || key === 'file' || key === 'command');
}
