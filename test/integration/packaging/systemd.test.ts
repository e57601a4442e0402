/**
 * The units, without systemd as process 1: read and held to rules, given to `systemd-analyze verify` where it is, and
 * the embedded server's commands run. That a worker ended by SIGTERM to itself alone (KillMode=process) leaves its job,
 * and that the next attaches, is shown in test/chaos (F1) and test/unit/process.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { findTemporalBinary, requireProgram } from '../../../src/process/exec/find-programs.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const run = promisify(execFile);
const directory = join(import.meta.dirname, '../../../deploy/systemd');

type Unit = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** Sections of a unit file, each key with all its values (manual: systemd.syntax). */
async function readUnit(name: string): Promise<Unit> {
  const unit: Record<string, Record<string, string[]>> = {};
  let section: Record<string, string[]> = {};
  for (const line of (await readFile(join(directory, name), 'utf8')).split('\n')) {
    if (line === '' || /^[#;]/.test(line)) continue;
    const [, heading] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (heading !== undefined) section = unit[heading] ??= {};
    else (section[line.slice(0, line.indexOf('='))] ??= []).push(line.slice(line.indexOf('=') + 1));
  }
  return unit;
}

/** What systemd.exec(5) says implies NoNewPrivileges for a unit with User=: then a hook's sudo would not work. */
const implyNoNewPrivileges = [
  ...[
    'NoNewPrivileges',
    'SystemCallFilter',
    'SystemCallArchitectures',
    'RestrictAddressFamilies',
    'RestrictNamespaces',
    'PrivateDevices',
    'ProtectKernelTunables',
  ],
  ...[
    'ProtectKernelModules',
    'ProtectKernelLogs',
    'ProtectClock',
    'ProtectHostname',
    'MemoryDenyWriteExecute',
    'RestrictRealtime',
    'RestrictSUIDSGID',
    'DynamicUser',
    'LockPersonality',
  ],
];

describe('reprise-worker.service', () => {
  it('D2: a stop reaches the worker alone, with time to end; what its jobs do does not stop it', async () => {
    const { Service = {} } = await readUnit('reprise-worker.service');
    expect(Service).toMatchObject({
      KillMode: ['process'],
      OOMPolicy: ['continue'],
      Restart: ['always'],
      ExecStart: ['reprise worker'],
    });
    // The worker itself gives up after 15 s (src/worker/main.ts).
    expect(Number(Service['TimeoutStopSec']?.[0])).toBeGreaterThan(15);
    expect(Service['SendSIGKILL']).toBeUndefined();
  });

  it('F42: runs as the owner of the data directory, owner-only', async () => {
    const { Service = {} } = await readUnit('reprise-worker.service');
    expect(Service).toMatchObject({
      User: ['postgres'],
      Group: ['postgres'],
      UMask: ['0077'],
      StateDirectory: ['reprise'],
      StateDirectoryMode: ['0700'],
    });
  });

  it('is hardened by nothing that would break its jobs, hooks or servers', async () => {
    const { Service = {} } = await readUnit('reprise-worker.service');
    expect(Object.keys(Service).filter((key) => implyNoNewPrivileges.includes(key))).toEqual([]);
    expect(Service).toMatchObject({ ProtectSystem: ['full'], ReadWritePaths: ['-/etc/postgresql'] });
    expect([Service['PrivateTmp'], Service['MemoryMax'], Service['RuntimeMaxSec']]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('F39: no secret stands in it: variables come from a file', async () => {
    const { Service = {} } = await readUnit('reprise-worker.service');
    expect(Service['Environment']).toEqual([
      'REPRISE_CONFIG=/etc/reprise/reprise.yml',
      'MALLOC_ARENA_MAX=2',
      'NODE_OPTIONS=--max-semi-space-size=8',
    ]);
    expect(Service['EnvironmentFile']).toEqual(['-/etc/reprise/worker.env']);
  });
});

describe('reprise-temporal.service', () => {
  it('D7: its commands bring up a server that keeps histories for 90 days, on the loopback address, its state below its directory', async () => {
    const { Service = {} } = await readUnit('reprise-temporal.service');
    const state = await tempDir('unit');
    const [port, ui, http, metrics] = (await freePorts(4)) as [number, number, number, number];
    const command =
      Service['ExecStart']?.[0]
        ?.replace('7233', String(port))
        .replace('8233', String(ui))
        .replace('${STATE_DIRECTORY}', state)
        .split(' ') ?? [];
    expect(command.slice(0, 5)).toEqual(['temporal', 'server', 'start-dev', '--ip', '127.0.0.1']);
    const temporal = await findTemporalBinary();
    // Two more ports, which the command line chooses by itself, so that tests beside this one keep theirs.
    const server = spawn(
      temporal,
      [...command.slice(1), '--http-port', String(http), '--metrics-port', String(metrics)],
      { cwd: state, stdio: 'ignore' },
    );
    onCleanup(() => Promise.resolve(server.kill('SIGKILL')));
    const [, script = ''] = /^\/bin\/sh -c '(.*)'$/.exec(Service['ExecStartPost']?.[0] ?? '') ?? [];
    const env = {
      ...process.env,
      PATH: `${join(temporal, '..')}:${process.env['PATH'] ?? ''}`,
      TEMPORAL_ADDRESS: `127.0.0.1:${port}`,
    };
    await run('/bin/sh', ['-c', script], { env, timeout: 240_000 });

    const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
    const { config } = await new Client({ connection }).workflowService.describeNamespace({ namespace: 'default' });
    await connection.close();
    expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(90 * 86_400);
    expect(await readdir(state)).toContain('temporal.db');
    // U6
    const page = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' };
    expect((await fetch(`http://127.0.0.1:${http}/api/v1/namespaces/default/workflows/x`, page)).status).toBe(403);
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
  });
});

describe('every unit', () => {
  it('has what systemd asks of it, and systemd-analyze verify has nothing to say where it is there', async () => {
    const names = (await readdir(directory)).filter((name) => name.endsWith('.service'));
    expect(names).toEqual(['reprise-temporal.service', 'reprise-worker.service']);
    const place = join(await tempDir('units'), 'system');
    await mkdir(place);
    for (const name of names) {
      const unit = await readUnit(name);
      expect(Object.keys(unit)).toEqual(['Unit', 'Service', 'Install']);
      expect(unit['Install']).toEqual({ WantedBy: ['multi-user.target'] });
      // Restarted for ever: what must run is not given up after five failures in ten seconds.
      expect(unit['Unit']?.['StartLimitIntervalSec']).toEqual(['0']);
      // The programs are not installed here; what is verified is the unit.
      const text = await readFile(join(directory, name), 'utf8');
      await writeFile(join(place, name), text.replaceAll(/^ExecStart=(reprise|temporal) /gm, 'ExecStart=/bin/true '));
    }
    const analyze = await requireProgram('systemd-analyze').catch(() => null);
    // Containers may lack it; the rules above hold all the same.
    if (analyze === null) return;
    const verify = (): Promise<string> =>
      run(analyze, ['verify', ...names.map((name) => join(place, name))]).then(({ stderr }) => stderr);
    const about = (text: string): string[] => text.split('\n').filter((line) => line.includes('reprise-'));
    expect(about(await verify())).toEqual([]);
    // It does look: a key that does not exist is said.
    const [first = ''] = names;
    await writeFile(join(place, first), `${await readFile(join(place, first), 'utf8')}\n[Service]\nKilMode=process\n`);
    expect(about(await verify().catch((error: { stderr: string }) => error.stderr)).join()).toContain('KilMode');
  });
});
