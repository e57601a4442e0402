import { RepriseError } from './errors.js';

/**
 * The entry of a registry that the config names.
 * @param unknown what is said of a name that is not there; `known` precedes the names that are
 * @throws RepriseError `config-invalid`
 */
export function registered<K>(kinds: Readonly<Record<string, K>>, name: string, unknown: string, known: string): K {
  const found = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (found === undefined)
    throw new RepriseError('config-invalid', unknown, `${known}: ${Object.keys(kinds).join(', ')}`);
  return found;
}
