import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { replacements } from '../../../src/activities/recovery/replacements.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { OldDataConfig, PolicyConfig } from '../../../src/domain/config.js';
import type { RecoveryOutline } from '../../../src/engines/engine.js';

it('F1: an engine that cannot restore over old data refuses to, and a copy beside the cluster is never overwritten', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'reprise-replacing-'));
  const planned = (oldData: OldDataConfig, overwrites: boolean, inPlace = true) => {
    const engine = { kind: 'toy', capabilities: { method: 'data-directory', ...(overwrites ? { overwrites } : {}) } };
    const session = {
      cluster: { recovery: { oldData } },
      deps: { engineOf: () => engine },
    } as unknown as ClusterContext;
    return replacements(
      session,
      {} as PolicyConfig,
      { inPlace, host: 'db1', dataDir, port: 5432 },
      { backups: [] } as unknown as RecoveryOutline,
      'op-1',
    );
  };
  try {
    await expect(planned({ mode: 'overwrite-delta' }, false)).rejects.toMatchObject({
      code: 'capability-missing',
      hint: expect.stringContaining('aside'),
    });
    expect(await planned({ mode: 'overwrite-delta' }, true)).toEqual([{ what: dataDir, keptAs: null }]);
    expect(await planned({ mode: 'overwrite-delta' }, true, false)).toEqual([
      { what: dataDir, keptAs: `${dataDir}.aside-op-1` },
    ]);
    expect(await planned({ mode: 'aside' }, false)).toEqual([{ what: dataDir, keptAs: `${dataDir}.aside-op-1` }]);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});
