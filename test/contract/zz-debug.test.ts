import { it } from '@jest/globals';
import { startBackrestCluster } from '../helpers/pgbackrest.js';
import { makeGround, seedCluster } from './engine-fixture.js';
import { pgbackrestEngine as e } from '../../src/engines/pgbackrest/pgbackrest-engine.js';
it('x', async () => {
  const s = await startBackrestCluster(); const g = await makeGround(s.cluster, 'pgbackrest', s.options); await seedCluster(s.cluster);
  const t = (l: string) => console.log(l, performance.now() | 0);
  t('start');
  const c = await g.context('op'); console.log(await e.preflightBackup(c)); t('pre');
  const [b] = await e.backup(c, { type: 'full', startedAt: new Date().toISOString() }); t('backup');
  console.log(JSON.stringify({...b, contents: b?.contents?.length}));
  console.log(await e.verify(await g.context('v'), b as never)); t('verify');
  console.log(JSON.stringify(await e.outlineRecovery(await g.context('o'), { target: { kind: 'latest' }, candidates: [b as never], oldDataDir: null, databases: [] })).slice(0,3000)); t('outline');
  const o2 = await e.outlineRecovery(await g.context('o'), { target: { kind: 'latest' }, candidates: [b as never], oldDataDir: s.cluster.dataDir, databases: [] }); console.log({...o2, backups: 0}); t('outline2');
}, 100000);
