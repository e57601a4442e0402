// Bundles the workflows once, at build time: a production worker then starts at once and needs no bundler.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const silent = { log() {}, trace() {}, debug() {}, info() {}, warn: console.error, error: console.error };

const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('../dist/workflows/index.js', import.meta.url)),
  logger: silent,
});
writeFileSync('dist/workflow-bundle.js', code);
