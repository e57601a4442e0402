import { Client } from '@temporalio/client';
import type { TemporalSession } from '../../src/client/connect.js';
import { openConnection } from '../../src/client/open-connection.js';
import { onCleanup } from './cleanup.js';

/** A session on a test's server, closed at the end of the file. */
export async function temporalSession(address: string): Promise<TemporalSession> {
  const connection = await openConnection({ address });
  const settings = {
    address,
    namespace: 'default',
    webUi: 'http://127.0.0.1:8233',
    origin: 'flag' as const,
    connection: {},
  };
  const session: TemporalSession = {
    connection,
    client: new Client({ connection }),
    settings,
    close: () => connection.close(),
  };
  onCleanup(() => session.close());
  return session;
}
