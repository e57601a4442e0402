// The whole check: format, lint, import rules and types run beside the tests, which wait more than they compute.
// Arguments go to jest. A check that fails counts as one failed test in test-results/summary.json.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';

const summaryFile = new URL('../test-results/summary.json', import.meta.url);
const root = new URL('..', import.meta.url);
rmSync(summaryFile, { force: true });

// Ctrl-C reaches the whole group: the tests clear up after themselves, and this script waits for them.
process.on('SIGINT', () => undefined);

const checks = inTurn(['lint', 'typecheck']);
const jest = await ended(
  spawn(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      ...['--selectProjects', 'unit', 'servers'],
      ...process.argv.slice(2),
    ],
    { cwd: root, stdio: 'inherit' },
  ),
);
const failed = (await checks).filter(({ code }) => code !== 0);
for (const { name, output } of failed) process.stderr.write(`\nnpm run ${name} failed:\n${output}\n`);
if (failed.length === 0) process.stderr.write('\nnpm run lint and npm run typecheck passed\n');
else countAsFailed(failed.length);
process.exitCode = jest !== 0 ? jest : failed.length > 0 ? 1 : 0;

/** Runs npm scripts one after the other, behind the tests where both want the CPU. */
async function inTurn(names) {
  const results = [];
  for (const name of names) {
    const child = spawn('nice', ['-n', '10', 'npm', 'run', '--silent', name], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk.toString()));
    results.push({ name, code: await ended(child), output });
  }
  return results;
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

function countAsFailed(count) {
  try {
    const summary = JSON.parse(readFileSync(summaryFile, 'utf8'));
    writeFileSync(summaryFile, `${JSON.stringify({ ...summary, failed: summary.failed + count })}\n`);
  } catch {
    // The tests left no numbers: .ci/run counts that as a failure.
  }
}
