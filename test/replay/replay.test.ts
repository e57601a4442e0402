import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { Worker } from '@temporalio/worker';
import { workflowTypes } from '../../src/domain/operation/names.js';
import { workflowBundle } from '../helpers/workflow-bundle.js';

const directory = fileURLToPath(new URL('./histories/', import.meta.url));
const files = readdirSync(directory).filter((name) => name.endsWith('.json'));

interface History {
  readonly events: readonly { readonly workflowExecutionStartedEventAttributes?: { readonly workflowId?: string } }[];
}

/** Histories of real runs, committed: a change of a workflow that they do not survive needs `patched`. */
describe('D1: replay of committed histories', () => {
  const errors = new Map<string, Error | undefined>();
  // By the id they ran under: workflows name their children after it.
  const histories = new Map(files.map((name) => read(name)));
  beforeAll(async () => {
    const replays = Worker.runReplayHistories(
      { workflowBundle: await workflowBundle() },
      [...histories].map(([workflowId, { history }]) => ({ workflowId, history })),
    );
    for await (const { workflowId, error } of replays) errors.set(histories.get(workflowId)?.name ?? '', error);
  });

  it('has a history of every workflow', () => {
    const seen = new Set(files.map((name) => name.split('.')[0]));
    expect(Object.values(workflowTypes).filter((type) => !seen.has(type))).toEqual([]);
  });

  it.each(files)('%s replays', (name) => {
    expect([...errors.keys()]).toContain(name);
    expect(errors.get(name)).toBeUndefined();
  });
});

function read(name: string): readonly [string, { readonly name: string; readonly history: History }] {
  const history = JSON.parse(readFileSync(join(directory, name), 'utf8')) as History;
  return [history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? name, { name, history }];
}
