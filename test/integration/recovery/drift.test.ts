import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from '@jest/globals';
import type { WorkerConfig } from '../../../src/client/config-drift.js';
import type { Finding } from '../../../src/domain/findings.js';
import { heavyQueue, recoveryQueue } from '../../../src/domain/operation/names.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { answer, approved, editConfig, planned, reaches, toldOfAll } from '../../helpers/site-cli.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let otherConfig: string;
const drift = async (): Promise<readonly WorkerConfig[]> =>
  (await answer<{ drift: WorkerConfig[] }>(site, 'status')).drift;
const findings = async (command: string, about: string): Promise<Finding[]> =>
  (await toldOfAll<{ findings: Finding[] }>(site, command)).findings.filter(({ check }) => check.endsWith(about));

/** Two workers with host names of their own; the one of db2 was started with another reprise.yml. */
beforeAll(async () => {
  site = await Site.create();
  const db2 = join(site.root, 'db2');
  await editConfig(site, (text) =>
    text
      .replace('repositories:\n', `  db2: { state_dir: ${db2}/state }\nrepositories:\n`)
      .replace(
        / {8}beside: .*\n/,
        `        elsewhere: { host: db2, data_dir: ${join(site.root, 'pgdata2')}, port: ${site.places.port + 1} }\n`,
      ),
  );
  otherConfig = join(site.root, 'reprise-db2.yml');
  await writeFile(otherConfig, (await readFile(site.places.configFile, 'utf8')).replace('min: 1 }', 'min: 2 }'), {
    mode: 0o600,
  });
  await site.startWorker();
  await site.startWorker({}, { host: 'db2', configFile: otherConfig });
  await site.backUp('physical');
});

it('D7: a worker with another configuration is shown by status, doctor and check, with what to do', async () => {
  const theirs = {
    worker: expect.stringMatching(new RegExp(`^${site.workers[1]?.pid}@`)),
    config: expect.stringMatching(/^[0-9a-f]{12}$/),
  };
  // A worker polls the queue of its host some time after that of the workflows.
  await site.waitFor(async () => (await drift()).length === 2, 'the worker polls both queues');
  expect(await drift()).toEqual([
    { host: null, ...theirs },
    { host: 'db2', ...theirs },
  ]);
  for (const command of ['doctor', 'check']) {
    expect(await findings(command, '/config')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          check: 'host/db2/config',
          level: 'warning',
          message: expect.stringContaining('another configuration'),
          fix: expect.stringContaining('restart its worker'),
        }),
        expect.objectContaining({ check: 'host/db1/config', level: 'ok' }),
      ]),
    );
  }
  const { stdout, stderr } = await site.cli('status');
  expect(stderr).toMatch(/warning: the worker of host db2 .* runs with another configuration/);
  expect(stdout).not.toContain('warning');
});

it('U8: a program that polls a queue of a host and is no worker of it is told by doctor, with its name', async () => {
  const strangers = (): Promise<Finding[]> => findings('doctor', '/pollers');
  expect(await strangers()).toEqual([]);
  // A request that is left behind is sent again in the middle of the next test file, on a connection that is closed.
  const given = new AbortController();
  const poll = (): Promise<unknown> =>
    site.session.connection.workflowService.pollActivityTaskQueue({
      namespace: site.session.settings.namespace,
      taskQueue: { name: heavyQueue('db1') },
      identity: '4711@laptop',
    });
  // As a worker does: several at once, since a poll is seen late where it reaches another partition of the queue.
  const polling = Promise.allSettled(
    Array.from({ length: 10 }, () =>
      site.session.connection.withAbortSignal(given.signal, () =>
        site.session.connection.withDeadline(Date.now() + 240_000, poll),
      ),
    ),
  );
  try {
    await site.waitFor(async () => (await strangers()).length > 0, 'doctor tells of the stranger');
    expect(await strangers()).toMatchObject([
      {
        check: `worker/${heavyQueue('db1')}/pollers`,
        level: 'warning',
        message: expect.stringContaining('4711@laptop'),
        fix: expect.stringContaining('docs/security.md'),
      },
    ]);
  } finally {
    given.abort();
    await polling;
  }
});

it('F32: a destructive step on a host with another configuration than the plan was made with is refused, and the plan made again', async () => {
  const started = await planned(site, '--policy', 'physical', '--into', 'elsewhere', '--by', 'ops');
  const operationId = started.workflowId.slice(started.workflowId.lastIndexOf('/') + 1);
  await site.workers[1]?.stop();
  await site.startWorker({}, { host: 'db2' });
  await site.waitFor(async () => (await drift()).length === 0, 'the worker before is known to be gone');

  const step = { cluster: 'mairie', workflowId: started.workflowId, operationId, plan: started.plan.digest };
  const call = site.session.client.activity.execute('putAside', {
    id: 'by-hand',
    taskQueue: recoveryQueue('db2'),
    args: [step],
    // A task that goes to a poll which has just ended is lost: it is given out again.
    startToCloseTimeout: '60s',
    scheduleToCloseTimeout: '10m',
  });
  await expect(call).rejects.toMatchObject({
    cause: { type: 'plan-stale', message: expect.stringContaining('configuration of this host') },
  });

  await approved(site, started);
  const again = await site.waitFor(async () => {
    const view = await reaches(site, started.workflowId, 'waiting-approval');
    return view.plan !== started.plan.digest && view.plan;
  }, 'another plan waits');
  expect(again).toMatch(/^[0-9a-f]{64}$/);
  await answer(site, 'reject', started.workflowId, '--reason', 'seen', '--by', 'dba');
  await reaches(site, started.workflowId, 'rejected');
});
