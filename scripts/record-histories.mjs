#!/usr/bin/env node
/**
 * Saves histories of a Temporal server's workflows for the replay tests: `node scripts/record-histories.mjs ADDRESS`.
 * Of each type the longest ones, at most four; paths of this machine are replaced. Read the diff before committing:
 * a history that is recorded anew no longer proves that old runs survive.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { Client, Connection } from '@temporalio/client';
import { findTemporalBinary } from '../dist/process/exec/find-programs.js';

const MOST = 4;
const [address = '127.0.0.1:7233', ...replaced] = process.argv.slice(2);
const connection = await Connection.connect({ address });
const client = new Client({ connection });

const temporal = await findTemporalBinary();
const byType = new Map();
for await (const execution of client.workflow.list())
  byType.set(execution.type, [...(byType.get(execution.type) ?? []), execution]);

for (const [type, executions] of byType) {
  const longest = executions
    .toSorted((a, b) => b.historyLength - a.historyLength)
    .slice(0, type === 'inspect' ? 1 : MOST);
  for (const [place, { workflowId, runId }] of longest.entries()) {
    const show = [
      'workflow',
      'show',
      '--address',
      address,
      '--workflow-id',
      workflowId,
      '--run-id',
      runId,
      '--output',
      'json',
    ];
    let json = execFileSync(temporal, show, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });
    for (const path of [...replaced, process.cwd(), homedir()].filter((path) => path.length > 1))
      json = json.replaceAll(path, '/srv/reprise');
    const file = `test/replay/histories/${type}.${place + 1}.json`;
    writeFileSync(file, `${JSON.stringify(JSON.parse(json))}\n`);
    process.stdout.write(`${file}: ${workflowId}\n`);
  }
}
await connection.close();
