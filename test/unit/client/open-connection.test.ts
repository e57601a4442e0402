import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from '@jest/globals';
import type { Connection } from '@temporalio/client';
import { openConnection } from '../../../src/client/open-connection.js';
import { until } from '../../helpers/until.js';

const UNIMPLEMENTED = '12';
const UNAVAILABLE = '14';

let stop: () => Promise<void> = () => Promise.resolve();
afterEach(() => stop());

/** A server that is connected to, and that answers each request with `answer`: as one that restarts does. */
async function restartingServer(answer: (stream: ServerHttp2Stream) => void): Promise<string> {
  const sessions = new Set<ServerHttp2Session>();
  const server: Http2Server = createServer();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream, headers) => {
    // What an old server says, which the client then takes for one.
    if (String(headers[':path']).endsWith('GetSystemInfo')) end(stream, UNIMPLEMENTED);
    else answer(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stop = async () => {
    for (const session of sessions) session.destroy();
    server.close();
    await once(server, 'close');
  };
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function end(stream: ServerHttp2Stream, status: string): void {
  const trailers = { 'grpc-status': status, 'grpc-message': 'it restarts' };
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailers }, { endStream: true });
}

const ask = (connection: Connection): Promise<string> =>
  connection.workflowService.describeNamespace({ namespace: 'reprise' }).then(
    () => 'answered',
    (error: unknown) => (error as Error).message,
  );

it('F8: a request that waits to be sent again ends with its connection, and nothing is sent on a closed one', async () => {
  let asked = 0;
  const address = await restartingServer((stream) => {
    asked += 1;
    end(stream, UNAVAILABLE);
  });
  const connection = await openConnection({ address });
  const pending = Array.from({ length: 8 }, () => ask(connection));
  // At different points of their pauses, which grow from a tenth of a second.
  await until(() => asked >= 24, 'they are sent again and again');
  await connection.close();
  const atTheEnd = await Promise.all(pending);
  expect(atTheEnd).toEqual(atTheEnd.map(() => expect.stringContaining('UNAVAILABLE')));
});
