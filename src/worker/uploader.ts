/**
 * Runs a program and uploads what it prints: a process of its own, so that neither needs the worker. The object appears
 * only when the program has ended well and all of it is there.
 *
 * Argument: the file of an `UploadOrder`. Exit code: the program's own where it failed, else that of the storage.
 */
import { readFile } from 'node:fs/promises';
import { writeSync } from 'node:fs';
import { isRepriseError } from '../domain/errors.js';
import { startForOutput } from '../process/exec/program-output.js';
import { redact } from '../domain/text/redact.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { STORAGE_FAILED } from '../process/jobs/upload-order.js';
import type { UploadLine, UploadOrder } from '../process/jobs/upload-order.js';
import { acceptCommand } from '../domain/storage/repository-identity.js';
import { knownRepositories } from '../records/known-repositories.js';
import { identityCheck } from '../records/repository-identity.js';
import { openStorage } from '../storage/open-storage.js';
import { storageKinds } from '../storage/registry.js';
import type { WritableStorage } from '../storage/storage.js';

const PRINT_EVERY_MS = 2_000;

const print = (line: UploadLine): void => void writeSync(1, `${JSON.stringify(line)}\n`);

/** Prints at once that the storage does not answer or answers again, and how far the upload is every two seconds. */
function progressPrinter(): (bytes: number, waiting?: string) => void {
  let printedAt = 0;
  let waited = '';
  return (bytes, waiting = '') => {
    const now = performance.now();
    if (waiting === waited && now - printedAt < PRINT_EVERY_MS) return;
    [printedAt, waited] = [now, waiting];
    print({ bytes, ...(waiting === '' ? {} : { waiting: redact(waiting) }) });
  };
}

function failure(error: unknown): NonNullable<UploadLine['failed']> {
  if (!isRepriseError(error)) return { code: 'storage-unreachable', message: redact(String(error)) };
  return {
    code: error.code,
    message: redact(error.message),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

function printFailure(error: unknown): number {
  const failed = failure(error);
  print({ failed });
  writeSync(2, `${failed.message}\n`);
  return STORAGE_FAILED;
}

/** Before anything is written: a bucket may have been replaced since the worker has looked, as this process may begin hours later. */
async function requireKnown({ repository, stateDir }: UploadOrder, storage: WritableStorage): Promise<void> {
  const { name, type, options } = repository;
  await identityCheck({
    name,
    called: `repository ${name}`,
    where: storageKinds[type]?.place(options) ?? '',
    accept: acceptCommand(name),
    storage,
    known: knownRepositories(stateDir),
  }).require(false);
}

async function main(orderFile: string): Promise<number> {
  const order = JSON.parse(await readFile(orderFile, 'utf8')) as UploadOrder;
  const { repository, key, argv, env, variables } = order;
  Object.assign(process.env, variables);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)));
  const storage = openStorage(repository, { secret: resolveSecret });
  try {
    await requireKnown(order, storage);
  } catch (error) {
    return printFailure(error);
  }
  const program = startForOutput(argv, env);
  const printProgress = progressPrinter();
  try {
    const written = await storage.writeStream(key, program.stream, {
      signal: stop.signal,
      report: (bytes, waiting) => {
        printProgress(bytes, waiting);
        // What came through the pipe is outside of V8's heap, which sees no need to collect it.
        globalThis.gc?.({ type: 'minor' });
      },
    });
    print({ bytes: written.sizeBytes, written });
    return 0;
  } catch (error) {
    const code = program.exitCode();
    if (code !== null && code !== 0) return code;
    return printFailure(error);
  } finally {
    program.end();
  }
}

process.exitCode = await main(process.argv[2] ?? '');
