import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import type { ProcessIdentity } from '../../process/exec/process-identity.js';
import type { Narrator } from '../narrator.js';
import type { Owned } from '../owned.js';
import type { Scratch } from '../scratch.js';
import { startBusiness } from '../servers.js';
import { account, readLog } from './log.js';

/** Starts the client that commits transactions until it is stopped or its server is gone. */
export async function beginBusiness(owned: Owned, scratch: Scratch, narrator: Narrator): Promise<ProcessIdentity> {
  const client = await owned.start('business client', () => startBusiness(scratch));
  narrator.say(`a client (process ${client.pid}) commits transactions and keeps its own log: ${scratch.clientLog}`);
  return client;
}

/** Waits until the server has acknowledged so many more transactions. @throws `timeout` */
export async function untilMore(scratch: Scratch, count: number, signal: AbortSignal): Promise<void> {
  const wanted = (await acknowledged(scratch)) + count;
  const deadline = performance.now() + 60_000;
  while ((await acknowledged(scratch)) < wanted) {
    if (performance.now() > deadline)
      throw new RepriseError(
        'timeout',
        'the business client commits nothing',
        `See ${join(scratch.root, 'client.log')}.`,
      );
    await sleep(100, undefined, { signal });
  }
}

async function acknowledged(scratch: Scratch): Promise<number> {
  return account(await readLog(scratch.clientLog).catch(() => [])).acknowledged.size;
}
