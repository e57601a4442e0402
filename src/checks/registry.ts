import type { z } from 'zod';
import type { CheckConfig } from '../domain/config.js';
import { registered } from '../domain/fields.js';
import type { CheckKind } from './check.js';
import { commandOptions, readCommandOptions } from './command/options.js';
import { httpOptions, readHttpOptions } from './http/options.js';
import { mediaSampleOptions, readMediaSampleOptions } from './media-sample/options.js';
import { noOptions, readNoOptions } from './no-options.js';
import { objectsOptions, readObjectsOptions } from './objects/options.js';
import { readRowCountsOptions, rowCountsOptions } from './row-counts/options.js';
import { readSqlOptions, sqlOptions } from './sql/options.js';

/** Every kind of check: one line each; config schema and docs follow from it. */
export const checkKinds: Readonly<Record<string, CheckKind>> = {
  sql: checkKind({
    options: sqlOptions,
    read: readSqlOptions,
    afterRepair: true,
    run: async (...given) => (await import('./sql/sql-check.js')).runSqlCheck(...given),
  }),
  http: checkKind({
    options: httpOptions,
    read: readHttpOptions,
    run: async (...given) => (await import('./http/http-check.js')).runHttpCheck(...given),
  }),
  command: checkKind({
    options: commandOptions,
    read: readCommandOptions,
    run: async (...given) => (await import('./command/command-check.js')).runCommandCheck(...given),
  }),
  'media-sample': checkKind({
    options: mediaSampleOptions,
    read: readMediaSampleOptions,
    run: async (...given) => (await import('./media-sample/media-sample-check.js')).runMediaSampleCheck(...given),
  }),
  'target-reached': checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./target-reached/target-reached-check.js')).runTargetReachedCheck(context),
  }),
  canary: checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./canary/canary-check.js')).runCanaryCheck(context),
  }),
  'row-counts': checkKind({
    options: rowCountsOptions,
    read: readRowCountsOptions,
    inEveryDrill: true,
    run: async (...given) => (await import('./row-counts/row-counts-check.js')).runRowCountsCheck(...given),
  }),
  'content-hash': checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./content-hash/content-hash-check.js')).runContentHashCheck(context),
  }),
  sequences: checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./sequences/sequences-check.js')).runSequencesCheck(context),
  }),
  objects: checkKind({
    options: objectsOptions,
    read: readObjectsOptions,
    inEveryDrill: true,
    run: async (...given) => (await import('./objects/objects-check.js')).runObjectsCheck(...given),
  }),
  amcheck: checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./amcheck/amcheck-check.js')).runAmcheck(context),
  }),
  'page-checksums': checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./page-checksums/page-checksums-check.js')).runPageChecksumsCheck(context),
  }),
  'dump-again': checkKind({
    options: noOptions,
    read: readNoOptions,
    inEveryDrill: true,
    run: async (context) => (await import('./dump-again/dump-again-check.js')).runDumpAgainCheck(context),
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

/** Kinds that every drill runs, in this order, with the defaults of their options. */
export function checksOfEveryDrill(): readonly CheckConfig[] {
  return Object.entries(checkKinds).flatMap(([type, { inEveryDrill, options, read }]) =>
    inEveryDrill === true ? [{ name: type, type, options: read(options.parse({})) }] : [],
  );
}
