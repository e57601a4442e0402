import { once } from 'node:events';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { onCleanup } from './cleanup.js';

export interface Meddling {
  /** Answered so instead of by the server. */
  readonly status?: number;
  /** The server does it, and nobody hears that it did. */
  readonly loseAnswer?: boolean;
  /** Header that does not get through. */
  readonly withoutHeader?: string;
}

/** A proxy that speaks HTTP before a server without TLS, and meddles with requests, which may be held back. Returns its address. */
export async function startMeddler(
  upstreamPort: number,
  meddle: (request: http.IncomingMessage) => Meddling | null | Promise<Meddling | null>,
): Promise<string> {
  const server = http.createServer((request, answer) => void handle(request, answer));
  const handle = async (request: http.IncomingMessage, answer: http.ServerResponse): Promise<void> => {
    const { status, loseAnswer, withoutHeader } = (await meddle(request)) ?? {};
    // Whoever asked is gone: nothing of it reaches the server.
    if (request.socket.destroyed) return;
    if (status !== undefined) {
      request.resume();
      answer.writeHead(status).end();
      return;
    }
    const headers = { ...request.headers };
    if (withoutHeader !== undefined) delete headers[withoutHeader];
    const asked = http.request(
      { host: '127.0.0.1', port: upstreamPort, method: request.method, path: request.url, headers },
      (got) => {
        if (loseAnswer) {
          got.resume();
          got.on('end', () => request.socket.destroy());
          return;
        }
        answer.writeHead(got.statusCode ?? 500, got.headers);
        got.pipe(answer);
      },
    );
    asked.on('error', () => request.socket.destroy());
    request.pipe(asked);
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanup(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
