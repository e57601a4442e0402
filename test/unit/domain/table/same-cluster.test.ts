import { expect, it } from '@jest/globals';
import { backupsOfOthers, requireWalOfServer } from '../../../../src/domain/table/same-cluster.js';

it('F17: a transaction of another cluster is refused, and backups of another cluster are named in the plan', () => {
  const names = { name: 'mairie', policy: 'physical' };
  expect(() => requireWalOfServer(names, { wal: '7001', server: '7001' })).not.toThrow();
  expect(() => requireWalOfServer(names, { wal: '7001', server: '7002' })).toThrow(
    expect.objectContaining({ code: 'identity-mismatch', message: expect.stringContaining('7001') as unknown }),
  );
  const of = (id: string, systemIdentifier: string) => ({ id, server: { versionNum: 150018, systemIdentifier } });
  const known = [of('a', '7001'), of('b', '7002'), of('c', '7002'), { id: 'd' }];
  expect(backupsOfOthers(['a', 'b', 'd'], known, '7001')).toEqual([
    expect.stringMatching(/^b .*7002; production is 7001/),
  ]);
  expect(backupsOfOthers(['a'], known, '7001')).toEqual([]);
});
