import { describe, expect, it } from '@jest/globals';
import {
  type WorkerConfig,
  mixedVersions,
  mixedVersionsInWords,
  withOtherConfig,
} from '../../../src/client/config-drift.js';
import type { Config } from '../../../src/domain/config.js';

const worker = (pid: number, version: string | null, config = '0123456789ab'): WorkerConfig => ({
  host: 'db1',
  worker: `${pid}@db1`,
  version,
  config,
});

describe('F53: workers of different builds or configurations', () => {
  it('of different versions are named, each with its workers', () => {
    const versions = mixedVersions([worker(1, '0.1.0'), worker(1, '0.1.0'), worker(2, '0.2.0'), worker(3, null)]);
    expect(versions && mixedVersionsInWords(versions).message).toBe(
      'workers run with different versions of Reprise: 0.1.0 (1@db1); 0.2.0 (2@db1); an older version (3@db1)',
    );
    expect(mixedVersions([worker(1, '0.1.0'), worker(2, '0.1.0')])).toBeNull();
  });

  it('of another configuration are listed', () => {
    const other = worker(2, '0.1.0', 'ffffffffffff');
    const config = { digest: `0123456789ab${'0'.repeat(52)}` } as Config;
    expect(withOtherConfig([worker(1, '0.1.0'), other], config)).toEqual([other]);
  });
});
