import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runHttpCheck } from '../../../src/checks/http/http-check.js';

const server = createServer((request, response) => {
  if (request.url === '/moved') response.writeHead(302, { location: '/ok' }).end();
  else if (request.url === '/silent') request.socket.unref();
  else response.writeHead(request.url === '/down' ? 503 : 200).end('file d’attente: vide');
});
let base = '';
beforeAll(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const run = (path: string, more: object = {}, signal = new AbortController().signal): Promise<unknown> =>
  runHttpCheck(
    {
      connection: { host: '', port: 0, user: '', maintenanceDatabase: '' },
      recorded: [],
      recordedIsExact: true,
      signal,
    },
    { url: `${base}${path}`, status: 200, timeoutSeconds: 5, ...more },
  );

describe('HTTP check (K4)', () => {
  it('judges status and text', async () => {
    expect(await run('/ok')).toEqual({ status: 'passed', detail: 'status 200' });
    expect(await run('/ok', { contains: 'd’attente: vide' })).toMatchObject({ status: 'passed' });
    expect(await run('/ok', { contains: 'autre' })).toMatchObject({ status: 'failed' });
    expect(await run('/down')).toEqual({ status: 'failed', detail: 'status 503, expected 200' });
    expect(await run('/down', { status: 503 })).toMatchObject({ status: 'passed' });
  });

  it('in a drill asks the URL of the drill, and without one nobody: that of production says nothing of what was restored', async () => {
    const inDrill = (more: object) =>
      runHttpCheck(
        {
          connection: { host: '', port: 0, user: '', maintenanceDatabase: '' },
          ...{ recorded: [], recordedIsExact: true, signal: new AbortController().signal },
          drill: { keep: async (name) => name, dumpAgain: async () => [] },
        },
        { url: `${base}/ok`, status: 200, timeoutSeconds: 5, ...more },
      );
    expect(await inDrill({})).toMatchObject({ status: 'skipped', hint: expect.stringContaining('drill_url') });
    expect(await inDrill({ drillUrl: `${base}/down` })).toMatchObject({ status: 'failed' });
  });

  it('follows no redirect: a login page would answer 200', async () => {
    expect(await run('/moved')).toEqual({ status: 'failed', detail: 'status 302, expected 200' });
  });

  it('no answer in time, or none at all, is a failed check; a cancellation is none', async () => {
    expect(await run('/silent', { timeoutSeconds: 0.1 })).toEqual({
      status: 'failed',
      detail: 'no response within 0.1 s',
    });
    expect(await run('', { url: 'http://127.0.0.1:1/' })).toMatchObject({
      status: 'failed',
      detail: expect.stringMatching(/^no response: /),
    });
    await expect(run('/ok', {}, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  });
});
