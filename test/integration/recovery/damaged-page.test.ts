import { expect, it } from '@jest/globals';
import type { Finding } from '../../../src/domain/findings.js';
import { damagePage } from '../../helpers/damage-page.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';
import { renamedFunctions, walgPolicy } from '../../helpers/walg.js';

failOnLeakedProcesses();

/** A site whose policy `physical` is of an engine, and how to give that policy one more option. */
const sites = {
  pgbackrest: async () => {
    const site = await Site.create();
    const { pgbackrestConf } = site.places;
    const physical = (more: string) =>
      ({
        engine: 'pgbackrest',
        optionsYaml: `{ stanza: main, config: ${pgbackrestConf}, ${more} }`,
        archiveCommand: '',
      }) as const;
    return { site, physical };
  },
  walg: async () => {
    const { physical: policy } = await walgPolicy();
    const site = await Site.create({ physical: policy });
    await site.query(renamedFunctions, 'postgres');
    const physical = (more: string) =>
      ({ ...policy, optionsYaml: policy.optionsYaml.replace(/ }$/, `, ${more} }`) }) as const;
    return { site, physical };
  },
};

it.each(['pgbackrest', 'walg'] as const)(
  'W14: a damaged page fails the backup by %s, with file and page; check reports it; with page_errors: accept it is taken and marked',
  async (engine) => {
    const { site, physical } = await sites[engine]();
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
    const [refused] = await site.backups();
    expect(refused).toMatchObject({ status: 'quarantined', proven: null });
    expect(await found()).toMatchObject({ level: 'problem', message: expect.stringContaining(reason) });
    // Read whole it is as it was taken, and counts no more for that.
    expect((await site.cli('backup', 'verify', refused?.id ?? '', '--json')).code).toBe(8);
    expect((await site.backups())[0]).toMatchObject({ status: 'quarantined', proven: null });
    // What rests on it would hold the page too.
    const { code, stderr } = await site.cli(
      ...['backup', 'run', 'mairie', '--policy', 'physical', '--type', 'incr', '--json'],
    );
    expect({ code, error: JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as object }).toMatchObject({
      code: 9,
      error: { error: { code: 'no-usable-backup', hint: expect.stringContaining('--type full') } },
    });

    await site.configure({ physical: physical('page_errors: accept') });
    await worker.kill();
    await site.startWorker();
    expect((await run()).code).toBe(0);
    expect((await site.backups()).at(-1)).toMatchObject({ status: 'complete', pageErrors: [`${path} page 0`] });
    expect(await found()).toMatchObject({
      level: 'problem',
      message: expect.stringContaining('in spite of damaged pages'),
    });
  },
);
