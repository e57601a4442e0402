import { Client } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import type { TemporalSession } from '../../src/client/connect.js';
import { openConnection } from '../../src/client/open-connection.js';

/** The Temporal server was away while it was asked. */
export function isOutage(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return /unavailable|ECONNREFUSED|CANCELLED|DEADLINE/i.test(String(cause));
}

/** Address of the server that all tests share. */
export function sharedTemporal(): string {
  const address = process.env['REPRISE_TEST_TEMPORAL_ADDRESS'];
  if (address === undefined)
    throw new Error(
      'there is no shared Temporal server here\nHINT: tests that need servers do not belong in test/unit',
    );
  return address;
}

/** A session in a namespace made now: workers of two sites would share the queue `reprise` otherwise. */
export async function openNamespace(address: string, namespace: string): Promise<TemporalSession> {
  const connection = await openConnection({ address });
  await connection.workflowService
    .registerNamespace({ namespace, workflowExecutionRetentionPeriod: msToTs('1 day') })
    .catch((error: unknown) => {
      if (!/already exists/i.test(String(error))) throw error;
    });
  const settings = { address, namespace, webUi: 'http://127.0.0.1:8233', origin: 'flag' as const, connection: {} };
  return { connection, client: new Client({ connection, namespace }), settings, close: () => connection.close() };
}
