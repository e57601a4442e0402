import { readFile, writeFile } from 'node:fs/promises';
import { expect, it } from '@jest/globals';
import { applyWatches } from '../../../src/client/schedules/apply-watches.js';
import { loadConfig } from '../../../src/config/load.js';
import { seedHostile } from '../../helpers/hostile-database.js';
import { schemaText } from '../../helpers/dump-text.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

/** Beside that of the site: a hostile database, which is counted as well, and a check that calls what is in it. */
async function hostileSite(): Promise<{ site: Site; escaped: () => Promise<readonly string[]> }> {
  const site = await Site.create({
    policiesYaml:
      '      base: { engine: basebackup, repository: local, options: { wal: receivewal }, schedule: { cron: "15 3 * * *" }, retention: { days: 14 }, proof: restore }\n',
    clusterYaml: `      hostile: { type: sql, database: app, query: "SELECT count(*) FROM evil.v WHERE a > 0", min: 2, max: 2 }
    checks_role: checker
`,
  });
  const { escaped } = await seedHostile(site.server);
  await site.query('CREATE ROLE checker LOGIN IN ROLE pg_read_all_data', 'postgres');
  const { configFile } = site.places;
  const text = await readFile(configFile, 'utf8');
  await writeFile(configFile, text.replace('databases: [mairie]', 'databases: [mairie, app]'));
  return { site, escaped };
}

const schemaOf = ({ binDir, server }: Site): Promise<string> => schemaText({ ...server, binDir }, 'app');

it('U1: a hostile database is backed up, restore-tested and recovered by a physical engine, and nothing of it runs as a superuser', async () => {
  const { site, escaped } = await hostileSite();
  const config = await loadConfig({ file: site.places.configFile });
  await site.startWorker();
  await applyWatches(site.session, config);

  const { backups } = await site.backUp('base');
  expect(backups).toMatchObject([{ proven: { level: 'restored' }, status: 'complete' }]);
  expect(await escaped()).toEqual([]);
  const before = await schemaOf(site);

  await site.loseInstance('data');
  const work = await site.recover('base');
  await site.approve(work);
  const { outcome } = await site.recovered(work);
  expect(outcome?.checks).toMatchObject([
    { name: 'rows', status: 'passed' },
    { name: 'hostile', status: 'passed', detail: '2' },
  ]);
  expect(await escaped()).toEqual([]);
  expect(await schemaOf(site)).toBe(before);
});
