import { once } from 'node:events';
import * as net from 'node:net';
import { readFile } from 'node:fs/promises';
import * as tls from 'node:tls';
import { NativeConnection } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { connectTemporal, resolveTemporal } from '../../../src/client/connect.js';
import { signedCertificate } from '../../helpers/certificate.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { reprise } from '../../helpers/cli.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { sharedTemporal } from '../../helpers/site-session.js';

failOnLeakedProcesses();

/** Terminates TLS before the Temporal server, and lets in who has a certificate of the authority: the server itself has no TLS in tests. */
async function startProxy(own: { key: string; cert: string }, clients: string): Promise<string> {
  const { hostname, port } = new URL(`http://${sharedTemporal()}`);
  const open = new Set<net.Socket>();
  const server = tls.createServer(
    { ...own, ca: clients, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] },
    (socket) => {
      const upstream = net.connect(Number(port), hostname);
      for (const one of [socket, upstream]) {
        open.add(one);
        one.on('error', () => one.destroy());
        one.on('close', () => [socket, upstream].forEach((both) => both.destroy()));
      }
      socket.pipe(upstream).pipe(socket);
    },
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanup(async () => {
    open.forEach((socket) => socket.destroy());
    server.close();
    await once(server, 'close');
  });
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

let env: Record<string, string>;

beforeAll(async () => {
  const [server, client] = [await signedCertificate(), await signedCertificate()];
  env = {
    TEMPORAL_ADDRESS: await startProxy(server, await readFile(client.authorityFile, 'utf8')),
    TEMPORAL_NAMESPACE: 'default',
    TEMPORAL_TLS_CLIENT_CERT_PATH: client.certFile,
    TEMPORAL_TLS_CLIENT_KEY_PATH: client.keyFile,
    TEMPORAL_TLS_SERVER_CA_CERT_PATH: server.authorityFile,
  };
});

describe('U8: a Temporal server with TLS and client certificates, by the variables of docs/security.md', () => {
  it('is reached by the command line and by workers', async () => {
    expect(await reprise(['status', '--json'], { env })).toMatchObject({ code: 0 });
    const settings = await resolveTemporal({ env });
    expect(settings).toMatchObject({ origin: 'environment', namespace: 'default' });
    const { address, connection } = settings;
    await (await NativeConnection.connect({ address, ...connection })).close();
    await (await connectTemporal(settings)).close();
  });

  it.each([
    ['a client certificate', ['TEMPORAL_TLS_CLIENT_CERT_PATH', 'TEMPORAL_TLS_CLIENT_KEY_PATH']],
    ['the authority of the server', ['TEMPORAL_TLS_SERVER_CA_CERT_PATH']],
  ])('without %s it is not, and TLS is named', async (_, missing) => {
    const some = Object.fromEntries(Object.entries(env).filter(([name]) => !missing.includes(name)));
    const { code, stderr } = await reprise(['status', '--json'], { env: some });
    expect({ code, ...(JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as object) }).toMatchObject({
      code: 5,
      error: { code: 'temporal-unreachable', hint: expect.stringContaining('TEMPORAL_TLS_') as unknown },
    });
  });
});
