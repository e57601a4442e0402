import type { z } from 'zod';
import { registered } from '../domain/fields.js';
import type { CheckKind } from './check.js';
import { httpOptions, readHttpOptions } from './http/options.js';
import { readSqlOptions, sqlOptions } from './sql/options.js';

/** Every kind of check: one line each; config schema and docs follow from it. */
export const checkKinds: Readonly<Record<string, CheckKind>> = {
  sql: checkKind({
    options: sqlOptions,
    read: readSqlOptions,
    run: async (...given) => (await import('./sql/sql-check.js')).runSqlCheck(...given),
  }),
  http: checkKind({
    options: httpOptions,
    read: readHttpOptions,
    run: async (...given) => (await import('./http/http-check.js')).runHttpCheck(...given),
  }),
};

/** Check of a kind named in the config. Throws `config-invalid` for a kind that is not registered. */
export function checkOf(kind: string): CheckKind {
  return registered(checkKinds, kind, `unknown check type "${kind}"`, 'known types');
}

/** Checks that a line's parts belong together, before their types are forgotten. */
function checkKind<S extends z.ZodObject, O>(kind: CheckKind<S, O>): CheckKind {
  return kind as unknown as CheckKind;
}
