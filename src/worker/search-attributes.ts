import type { NativeConnection } from '@temporalio/worker';
import { searchAttributes } from '../domain/operation/names.js';
import { KEYWORD, attributeQuery, attributesMissing, lackedAttributes } from '../domain/operation/search-attributes.js';

/** Codes of gRPC. */
const ALREADY_EXISTS = 6;
const UNIMPLEMENTED = 12;
/** Of each call: a server that does not answer must not keep the worker from saying so. */
const ANSWER_MS = 15_000;

type Services = Pick<NativeConnection, 'operatorService' | 'workflowService' | 'withDeadline'>;

/**
 * Sees to it that the namespace has the search attributes: registers those it lacks, and where the server does not let
 * us (Temporal Cloud does not) finds out whether they are there. Without them every workflow would hang in its first task.
 * @throws RepriseError `privilege-missing` with the commands of an administrator
 */
export async function registerSearchAttributes(connection: Services, namespace: string): Promise<void> {
  const { operatorService } = connection;
  const inTime = <T>(call: () => Promise<T>): Promise<T> => connection.withDeadline(Date.now() + ANSWER_MS, call);
  const listed = await inTime(() => operatorService.listSearchAttributes({ namespace })).catch(() => null);
  const missing = listed === null ? Object.values(searchAttributes) : lackedAttributes(listed.customAttributes);
  if (missing.length === 0) return;
  const ofAnotherType = missing.filter((name) => name in (listed?.customAttributes ?? {}));
  if (ofAnotherType.length > 0)
    throw attributesMissing(namespace, ofAnotherType, 'they exist with another type than Keyword');
  try {
    const types = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
    await inTime(() => operatorService.addSearchAttributes({ namespace, searchAttributes: types }));
  } catch (error) {
    // Another worker was faster, or they are there and only the list of them was refused.
    if (codeOf(error) === ALREADY_EXISTS) return;
    if (listed === null && (await areKnown(connection, inTime, namespace))) return;
    throw attributesMissing(namespace, missing, error instanceof Error ? error.message : String(error));
  }
}

/** A client may ask for workflows by them where they are known; a server that lists no workflows checks none. */
async function areKnown(
  { workflowService }: Services,
  inTime: <T>(call: () => Promise<T>) => Promise<T>,
  namespace: string,
): Promise<boolean> {
  const query = attributeQuery(Object.values(searchAttributes));
  return inTime(() => workflowService.countWorkflowExecutions({ namespace, query })).then(
    () => true,
    (error: unknown) => codeOf(error) === UNIMPLEMENTED,
  );
}

const codeOf = (error: unknown): number | undefined => (error as { readonly code?: number }).code;
