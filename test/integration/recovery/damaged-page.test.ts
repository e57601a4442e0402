import { expect, it } from '@jest/globals';
import type { Finding } from '../../../src/domain/findings.js';
import { damagePage } from '../../helpers/damage-page.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

it('W14: a damaged page fails the backup by pgBackRest, with file and page; check reports it; with page_errors: accept it is taken and marked', async () => {
  const optionsYaml = (more: string): string => `{ stanza: main, config: ${site.places.pgbackrestConf}${more} }`;
  const site = await Site.create();
  const path = await damagePage(site.server, site.places.dataDir);
  const worker = await site.startWorker();
  const run = () => site.cli('backup', 'run', 'mairie', '--policy', 'physical', '--json');
  const found = async (): Promise<Finding | undefined> => {
    const { stdout } = await site.cli('check', 'mairie', '--json');
    return (JSON.parse(stdout) as { findings: Finding[] }).findings.find(
      ({ check }) => check === 'pages/mairie/physical',
    );
  };
  const failed = await run();
  const { error } = JSON.parse(failed.stderr.trim().split('\n').at(-1) ?? '') as { error: object };
  const reason = `pages of the cluster are damaged on disk: ${path} page 0`;
  expect({ exit: failed.code, ...error }).toMatchObject({
    exit: 8,
    code: 'page-corrupt',
    message: expect.stringContaining(reason),
    hint: expect.stringContaining('page_errors: accept'),
  });
  expect((await site.backups()).map(({ status }) => status)).toEqual(['quarantined']);
  expect(await found()).toMatchObject({ level: 'problem', message: expect.stringContaining(reason) });

  await site.configure({
    physical: {
      engine: 'pgbackrest',
      optionsYaml: optionsYaml(', page_errors: accept'),
      archiveCommand: '',
    },
  });
  await worker.kill();
  await site.startWorker();
  expect((await run()).code).toBe(0);
  expect((await site.backups()).at(-1)).toMatchObject({ status: 'complete', pageErrors: [`${path} page 0`] });
  expect(await found()).toMatchObject({
    level: 'problem',
    message: expect.stringContaining('in spite of damaged pages'),
  });
}, 300_000);
