import { join } from 'node:path';
import { tailOfFile } from '../files/tail.js';
import type { Narrator } from './narrator.js';
import type { Owned } from './owned.js';
import { commandLine } from './servers.js';

/** With `--keep`: what still runs, how to use it, and how to remove it. */
export async function tellKept(owned: Owned, narrator: Narrator): Promise<void> {
  const { scratch } = owned;
  if (scratch === null) return;
  narrator.chapter(`Kept below ${scratch.root}`);
  for (const { name, pid } of await owned.running()) narrator.say(`${name}: process ${pid}`);
  narrator.say(`try: ${commandLine(scratch)} status`);
  narrator.say('to stop and remove it all:');
  narrator.block(await owned.howToRemove());
}

/** What went wrong is in logs that are about to be removed. */
export async function tellLogs(owned: Owned, narrator: Narrator): Promise<void> {
  const { scratch } = owned;
  if (scratch === null) return;
  for (const log of [join(scratch.root, 'servers', 'worker.log'), `${scratch.dataDir}.log`]) {
    const tail = (await tailOfFile(log)).trim();
    if (tail === '') continue;
    narrator.say(`end of ${log}:`);
    narrator.block(tail);
  }
}
