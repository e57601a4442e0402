import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { lightQueue } from '../../src/domain/operation/names.js';
import { onCleanup } from '../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { tempDir } from '../helpers/temp.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { until } from '../helpers/until.js';
import { type Activities, type Case, HOST, Lab, untilCancelled } from './lab.js';

failOnLeakedProcesses();

const main = new URL('../../dist/main.js', import.meta.url).pathname;
/** A host that no worker serves. */
const GONE = 'gone';

let lab: Lab;
let address: string;
let directory: string;
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  address = server.address;
  lab = await Lab.on(address);
  directory = await tempDir('waiting');
  const cluster = (name: string, index: number): string => `  ${name}:
    host: ${HOST}
    connection: { host: 127.0.0.1, port: ${index + 1}, user: reprise }
    databases: [mairie]
    catalogue: local
    backups: { nightly-dump: { engine: logical, repository: local } }
`;
  await writeFile(
    join(directory, 'reprise.yml'),
    `version: 1
hosts: { ${HOST}: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: ${HOST} } }
clusters:
${['planning', 'alone', 'waits', 'frozen'].map(cluster).join('')}`,
  );
});

/** The built program, whose signals are real. */
class Command {
  private readonly child: ChildProcess;
  stderr = '';
  readonly ended: Promise<number | null>;

  constructor(...argv: string[]) {
    this.child = spawn(process.execPath, [main, ...argv, '--address', address], {
      cwd: directory,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, REPRISE_CONFIG: '', TEMPORAL_ADDRESS: '' },
    });
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve) => this.child.once('close', (code) => resolve(code)));
    onCleanup(async () => void this.child.kill('SIGKILL'));
  }

  says(text: string): Promise<void> {
    return until(async () => this.stderr.includes(text), `it says "${text}"`, 60_000).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${this.stderr}`);
    });
  }

  interrupt(): void {
    this.child.kill('SIGINT');
  }
}

const table = (cluster: string): string[] => [cluster, 'mairie', 'metier.demandes_rdv'];

/** The cluster's host has just died: the server still lists its worker, and nobody takes up what it is asked for. */
const onDeadHost: Partial<Activities> = {
  describeCluster: async () => ({
    host: GONE,
    configDigest: 'config',
    policies: { nightly: { engine: 'logical', repository: 'local', enabled: true, proof: 'verify' } },
  }),
};

const statusOf = async (workflowId: string): Promise<string> =>
  (await lab.client.workflow.getHandle(workflowId).describe()).status.name;

describe('O19: a command that waits says what it waits for, and what becomes of it', () => {
  it('O19: Ctrl-C on a dry run ends its planning, and says so', async () => {
    const one: Case = lab.case({ openInstance: untilCancelled }, 'planning');
    const command = new Command('table', 'repair', ...table('planning'), '--xid', '1234', '--dry-run');
    await one.called('openInstance');
    command.interrupt();
    expect(await command.ended).toBe(130);
    expect(command.stderr).toContain('its planning was cancelled; nothing was changed');
    const [step] = one.of('openInstance');
    expect(await statusOf(String(step?.['workflowId']))).toBe('CANCELLED');
    expect(one.names).toContain('closeInstance');
  });

  it.each([
    ['planning', 'of a dry run', ['table', 'repair', ...table('alone'), '--xid', '1234', '--dry-run'], 'alone'],
    ['repair', 'of a repair', ['table', 'repair', ...table('waits'), '--xid', '1234'], 'waits'],
    ['freeze', 'of a block of writes', ['table', 'freeze', ...table('frozen'), '--reason', 'x'], 'frozen'],
  ] as const)('O19: a worker that is missing is named within seconds (%s %s)', async (_, __, argv, cluster) => {
    const isDry = cluster === 'alone';
    lab.case(onDeadHost, cluster);
    const command = new Command(...argv);
    await command.says(`waiting for a worker on the queue ${lightQueue(GONE)}`);
    await command.says(isDry ? 'gives up after 30 s (exit 5)' : 'this command waits until a worker runs');
    expect(command.stderr).toContain(`reprise worker --host ${GONE}`);
    command.interrupt();
    expect(await command.ended).toBe(130);
    const kind = cluster === 'frozen' ? 'table-freeze' : 'table-repair';
    const open = lab.client.workflow.list({ query: `WorkflowId STARTS_WITH '${kind}/${cluster}/'` });
    for await (const { workflowId } of open) {
      const handle = lab.client.workflow.getHandle(workflowId);
      onCleanup(() => handle.terminate('the test is over').catch(() => undefined));
      if (!isDry) expect(await statusOf(workflowId)).toBe('RUNNING');
    }
    expect(command.stderr).toContain(isDry ? 'its planning' : 'continue');
  });
});
