import type { NativeConnection } from '@temporalio/worker';
import { searchAttributes } from '../domain/operation/names.js';

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
const KEYWORD = 2;
const ALREADY_EXISTS = 6;

/**
 * Registers the search attributes: without them every start that sets one fails. A server that does not let us
 * (rights, or attributes managed elsewhere) is left as it is: `doctor` says what is missing.
 */
export async function registerSearchAttributes(connection: NativeConnection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService
    .listSearchAttributes({ namespace })
    .catch(() => ({ customAttributes: null }));
  const missing = Object.values(searchAttributes).filter((name) => !(name in (customAttributes ?? {})));
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    const { code } = error as { code?: number };
    if (code !== ALREADY_EXISTS)
      process.stderr.write(
        `search attributes ${missing.join(', ')} could not be registered: ${error instanceof Error ? error.message : String(error)}\n`,
      );
  }
}
