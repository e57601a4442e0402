import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { tryLock, withHostLock } from '../../../src/process/jobs/file-lock.js';
import { hostLockPath } from '../../../src/process/jobs/job-paths.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { JobBench, lives } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

const cluster = { name: 'cluster mairie', mode: 'exclusive' } as const;

describe('F29: locks of the host', () => {
  it('are held while the tool lives, also without worker and wrapper; the refusal names the holder', async () => {
    const bench = await JobBench.create();
    const worker = bench.worker(bench.request({ locks: [cluster] }));
    await until(() => bench.starts().length === 1, 'the tool has begun');
    worker.child.kill('SIGKILL');
    await worker.outcome;
    const { wrapper } = (await bench.json('pid.json')) as { wrapper: { pid: number } };
    process.kill(wrapper.pid, 'SIGKILL');
    await until(async () => !(await lives(wrapper.pid)), 'the wrapper is gone');

    const other = bench.run(bench.request({ step: 'restore', locks: [cluster] }), { operationId: 'op-2' });
    await expect(other).rejects.toMatchObject({
      code: 'lock-held',
      message: expect.stringMatching(
        /^the lock cluster mairie is held by tool \(job op-1\/dump, process \d+, since \d{4}-/,
      ),
      details: { lock: 'cluster mairie', holder: 'op-1/dump', pid: bench.starts()[0] },
    });
    expect(await readJobs(bench.stateDir, 'op-2')).toEqual([]);
  });

  it('are free when the tool has ended, even where it left a daemon that inherited them', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await bench.run(bench.request({ mode: 'daemon', locks: [cluster] }));
    await until(() => bench.lines('daemon').length === 1, 'the daemon runs');
    const next = bench.run(bench.request({ step: 'next' }), { locks: [cluster] });
    expect(await next).toMatchObject({ code: 0, starts: 1 });
    expect(await lives(Number(bench.lines('daemon')[0]))).toBe(true);
  });

  it('are free for the next step, however slowly the wrapper of the last one gives them back', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const slow = join(bench.dir, 'slow');
    await mkdir(slow);
    await writeFile(join(slow, 'flock'), '#!/bin/sh\nsleep 0.3\nexec /usr/bin/flock "$@"\n', { mode: 0o755 });
    const env = { PATH: `${slow}:${process.env['PATH'] ?? ''}` };
    await bench.run(bench.request({ locks: [cluster], env }));
    // Tried itself: patience with a holder that has no name would hide the wrong order.
    const lock = await tryLock(hostLockPath(bench.stateDir, cluster.name), 'exclusive', { key: 'next', tool: 'test' });
    expect(lock).not.toBeNull();
    await lock?.release();
  });

  it('a holder without a name is just starting or ending: another look, not a refusal', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await withHostLock(bench.stateDir, cluster.name, 'exclusive', async () => undefined);
    const nameless = spawn(
      'flock',
      ['--exclusive', hostLockPath(bench.stateDir, cluster.name), 'sh', '-c', 'echo held; read go'],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await once(nameless.stdout, 'data');
    let ended = false;
    const run = bench.run(bench.request({ locks: [cluster] })).finally(() => (ended = true));
    await until(() => bench.reports.length > 0, 'the attempt is at it');
    expect(ended).toBe(false);
    nameless.stdin.end();
    expect(await run).toMatchObject({ starts: 1 });
  });

  it('shared ones stand side by side, an exclusive one waits for neither', async () => {
    const bench = await JobBench.create();
    const shared = { ...cluster, mode: 'shared' } as const;
    const runs = ['a', 'b'].map((step) => bench.run(bench.request({ step }), { locks: [shared] }));
    await until(() => bench.starts().length === 2, 'both run');
    await expect(bench.run(bench.request({ step: 'c' }), { locks: [cluster] })).rejects.toMatchObject({
      code: 'lock-held',
    });
    await bench.letGo();
    await Promise.all(runs);
    // Asked for twice it is one lock, and not in its own way.
    const both = bench.run(bench.request({ step: 'd', locks: [cluster] }), { locks: [shared] });
    expect(await both).toMatchObject({ code: 0 });
  });

  it('work in the worker itself takes the same ones', async () => {
    const bench = await JobBench.create();
    const who = { key: 'op-9/swap', tool: 'rename' };
    await withHostLock(
      bench.stateDir,
      cluster.name,
      'exclusive',
      async () => {
        const run = bench.run(bench.request({ locks: [cluster] }));
        await expect(run).rejects.toMatchObject({
          code: 'lock-held',
          details: { holder: 'op-9/swap', pid: process.pid },
        });
      },
      who,
    );
    await bench.letGo();
    expect(await bench.run(bench.request({ locks: [cluster] }))).toMatchObject({ starts: 1 });
    expect((await stat(hostLockPath(bench.stateDir, cluster.name))).mode & 0o777).toBe(0o600);
  });
});
