import { RepriseError } from '../errors.js';
import { searchAttributes } from './names.js';

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
export const KEYWORD = 2;

/** Search attributes that a namespace lacks, by what its server lists: those of another type are no use either. */
export function lackedAttributes(listed: Readonly<Record<string, unknown>> | null | undefined): readonly string[] {
  return Object.values(searchAttributes).filter((name) => listed?.[name] !== KEYWORD);
}

/** A query that every server refuses whose namespace lacks one of these search attributes. */
export function attributeQuery(names: readonly string[]): string {
  return names.map((name) => `${name} = 'none'`).join(' AND ');
}

/** What an administrator types. Temporal Cloud takes no such calls from clients: it has a command of its own. */
export function registrationHint(namespace: string, missing: readonly string[]): string {
  const own = missing.map((name) => ` --name ${name} --type Keyword`).join('');
  const cloud = missing.map((name) => ` --search-attribute "${name}=Keyword"`).join('');
  return `have an administrator add them: \`temporal operator search-attribute create --namespace ${namespace}${own}\`; on Temporal Cloud: \`tcld namespace search-attributes add --namespace ${namespace}${cloud}\``;
}

/** Without its search attributes every workflow hangs in its first task. */
export function attributesMissing(namespace: string, missing: readonly string[], why: string): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `the namespace ${namespace} lacks the search attributes ${missing.join(', ')}, and they could not be added: ${why}`,
    registrationHint(namespace, missing),
  );
}
