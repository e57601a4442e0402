import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { DefaultLogger, Worker, bundleWorkflowCode } from '@temporalio/worker';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { workflowTypes } from '../../src/domain/operation/names.js';

const directory = fileURLToPath(new URL('./histories/', import.meta.url));
const workflowsPath = fileURLToPath(new URL('../../src/workflows/index.ts', import.meta.url));
const files = readdirSync(directory).filter((name) => name.endsWith('.json'));

/** Histories of real runs, committed: a change of a workflow that they do not survive needs `patched`. */
describe('D1: replay of committed histories', () => {
  let workflowBundle: WorkflowBundleWithSourceMap;
  beforeAll(async () => {
    workflowBundle = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
  }, 300_000);

  it('has a history of every workflow', () => {
    const seen = new Set(files.map((name) => name.split('.')[0]));
    expect(Object.values(workflowTypes).filter((type) => !seen.has(type))).toEqual([]);
  });

  it.each(files)(
    '%s replays',
    async (name) => {
      const history: unknown = JSON.parse(readFileSync(join(directory, name), 'utf8'));
      await Worker.runReplayHistory({ workflowBundle }, history);
    },
    300_000,
  );
});
