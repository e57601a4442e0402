#!/usr/bin/env node
/**
 * Saves histories of finished and running workflows of a Temporal server for the replay tests:
 *   node scripts/record-histories.mjs ADDRESS [VARIANT]
 * One file a workflow type (and variant): the longest history there is. Paths of the machine are replaced.
 */
import { writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { Client, Connection } from '@temporalio/client';
import proto from '@temporalio/common/lib/proto-utils.js';

const [address = '127.0.0.1:7233', variant = 'demo'] = process.argv.slice(2);
const connection = await Connection.connect({ address });
const client = new Client({ connection });
const longest = new Map();

for await (const execution of client.workflow.list()) {
  const { workflowId, runId, type, historyLength } = execution;
  if ((longest.get(type)?.historyLength ?? 0) >= historyLength) continue;
  longest.set(type, { workflowId, runId, historyLength });
}
for (const [type, { workflowId, runId }] of longest) {
  const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const json = JSON.stringify(proto.historyToJSON ? JSON.parse(proto.historyToJSON(history)) : history, null, 1);
  writeFileSync(`test/replay/histories/${type}.${variant}.json`, `${json.replaceAll(process.cwd(), '/srv/reprise').replaceAll(homedir(), '/home/reprise').replaceAll(tmpdir(), '/tmp')}\n`);
  process.stdout.write(`${type}: ${workflowId}\n`);
}
await connection.close();
