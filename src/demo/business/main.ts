/** The business client of the demo, a process of its own: `node dist/demo/business/main.js SETTINGS.json`. */
import { readFile } from 'node:fs/promises';
import { initialContents } from '../data/initial.js';
import { runBusiness } from './client.js';
import type { BusinessSettings } from './client.js';

const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(name, () => stop.abort());

const settings = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as BusinessSettings;
await runBusiness(settings, await initialContents(), stop.signal);
