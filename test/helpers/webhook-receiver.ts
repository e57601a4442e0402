import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onCleanup } from './cleanup.js';

export interface ReceivedPost {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real HTTP server on the loopback address, which keeps what it was sent. */
export class WebhookReceiver {
  readonly posts: ReceivedPost[] = [];
  /** Connections, also those that asked for nothing. */
  connections = 0;
  private constructor(
    private readonly server: Server,
    public port = 0,
  ) {}

  /** `answer`: status and headers; null answers never. */
  static async start(
    answer: () => { status: number; headers?: Record<string, string> } | null = () => ({ status: 204 }),
    port = 0,
  ): Promise<WebhookReceiver> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        made.posts.push({
          path: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        });
        const said = answer();
        if (said !== null) response.writeHead(said.status, said.headers).end();
      });
    });
    const made = new WebhookReceiver(server);
    server.on('connection', () => (made.connections += 1));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    made.port = (server.address() as AddressInfo).port;
    onCleanup(() => made.stop());
    return made;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    if (this.server.listening) await new Promise((closed) => this.server.close(closed));
  }
}
