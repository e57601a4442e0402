import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { allPids, ofProcess } from './proc.js';
import type { Site } from './site.js';

/** Looks at argv and environment of every process there is, and at heartbeats, until it is stopped. */
export class CanaryWatch {
  readonly sightings = new Set<string>();
  looks = 0;
  private stopped = false;
  private readonly seen = new Map<number, string>();
  private readonly watching: Promise<void>;

  constructor(
    private readonly canaries: readonly string[],
    private readonly client: Client,
  ) {
    this.watching = this.watch();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.watching;
  }

  /** Notes every canary in a text, with where it was seen. */
  search(where: string, text: string): void {
    for (const canary of this.canaries) if (text.includes(canary)) this.sightings.add(`${canary} in ${where}`);
  }

  /** From now on whatever the command line of a site says is searched too. */
  overhear(site: Pick<Site, 'cli'>): void {
    const { cli } = site;
    site.cli = async (...argv) => {
      const said = await cli.apply(site, [...argv]);
      this.search(`output of reprise ${argv[0]}`, said.stdout + said.stderr);
      return said;
    };
  }

  private async watch(): Promise<void> {
    while (!this.stopped) {
      this.processes();
      if (this.looks % 5 === 0) await this.heartbeats();
      this.looks += 1;
      await sleep(40);
    }
  }

  private processes(): void {
    for (const pid of allPids()) {
      if (pid === process.pid) continue;
      const argv = ofProcess(pid, 'cmdline', 'latin1');
      // With the same argv it is the same program: only exec gives another environment.
      if (this.seen.get(pid) === argv) continue;
      this.seen.set(pid, argv);
      this.search(`argv of ${argv.slice(0, 60)}`, argv);
      this.search(`environment of ${argv.slice(0, 60)}`, ofProcess(pid, 'environ', 'latin1'));
    }
  }

  private async heartbeats(): Promise<void> {
    try {
      for await (const { workflowId } of this.client.workflow.list({ query: "ExecutionStatus = 'Running'" })) {
        const { raw } = await this.client.workflow.getHandle(workflowId).describe();
        for (const { heartbeatDetails, lastFailure } of raw.pendingActivities ?? [])
          this.search(`heartbeat of ${workflowId}`, textOf([heartbeatDetails, lastFailure]));
      }
    } catch {
      // Work that ended in between; the next look follows.
    }
  }
}

/** Every text in a protocol message, payloads decoded. */
export function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join('\n');
  if (typeof value === 'object' && value !== null) return Object.values(value).map(textOf).join('\n');
  return '';
}

/** Every file below a directory as text, those left out that a test says may hold it. */
export async function filesBelow(root: string, mayHold: RegExp): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || mayHold.test(path.slice(root.length + 1))) continue;
    found.push([path, await readFile(path, 'latin1').catch(() => '')]);
  }
  return found;
}
