import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { onCleanup } from './cleanup.js';
import { reaperOfFile } from './temp.js';
import { freePort } from './ports.js';
import { testTools } from './test-tools.js';

/** A proxy before a server, whose network can be made bad (F10). */
export interface BadNetwork {
  /** Port to connect to instead of the server's. */
  readonly port: number;
  /** Adds a toxic (toxiproxy's `type` and `attributes`, e.g. `reset_peer` `{timeout: 100}`); returns what takes it away. */
  toxic(
    type: string,
    attributes: Readonly<Record<string, number>>,
    stream?: 'upstream' | 'downstream',
  ): Promise<() => Promise<void>>;
  /** Cuts the connection off altogether, or gives it back. */
  enable(on: boolean): Promise<void>;
}

/** Starts toxiproxy before a port of the loopback address; stopped at the end of the test file. */
export async function startBadNetwork(upstreamPort: number): Promise<BadNetwork> {
  const [apiPort, port] = [await freePort(), await freePort()];
  const child = spawn(testTools.toxiproxy(), ['-host', '127.0.0.1', '-port', String(apiPort)], { stdio: 'ignore' });
  if (child.pid !== undefined) reaperOfFile().process(child.pid);
  onCleanup(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const api = async (path: string, method: string, body?: unknown): Promise<void> => {
    const answer = await fetch(`http://127.0.0.1:${apiPort}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`toxiproxy: ${await answer.text()}`);
  };
  for (let tries = 0; ; tries++) {
    const up = await api('/version', 'GET').then(
      () => true,
      () => false,
    );
    if (up) break;
    if (tries > 6000) throw new Error('toxiproxy does not answer');
    await sleep(50);
  }
  await api('/proxies', 'POST', {
    name: 's3',
    listen: `127.0.0.1:${port}`,
    upstream: `127.0.0.1:${upstreamPort}`,
    enabled: true,
  });
  let count = 0;
  return {
    port,
    async toxic(type, attributes, stream = 'downstream') {
      const name = `${type}-${count++}`;
      await api('/proxies/s3/toxics', 'POST', { name, type, stream, attributes, toxicity: 1 });
      return () => api(`/proxies/s3/toxics/${name}`, 'DELETE');
    },
    enable: (on) => api('/proxies/s3', 'POST', { enabled: on }),
  };
}
