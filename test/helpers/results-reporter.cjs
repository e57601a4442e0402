// Leaves the run's numbers where .ci/run reads them, and says where the time went. A file that did not even load counts
// as one failure. With REPRISE_WRITE_DURATIONS=1 the durations are kept for the order of the next runs.
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const { join, relative } = require('node:path');

const SLOWEST = 10;
const durationsFile = join(__dirname, 'durations.json');

module.exports = class ResultsReporter {
  constructor(globalConfig) {
    this.rootDir = globalConfig.rootDir;
  }

  onRunComplete(_contexts, results) {
    this.writeNumbers(results);
    const seconds = results.testResults
      .map(({ testFilePath, perfStats: { start, end } }) => [
        relative(this.rootDir, testFilePath),
        (end - start) / 1000,
      ])
      .sort(([, one], [, other]) => other - one);
    if (seconds.length > 1) tellSlowest(seconds);
    if (process.env.REPRISE_WRITE_DURATIONS === '1') keepDurations(seconds);
  }

  writeNumbers(results) {
    const directory = join(this.rootDir, 'test-results');
    mkdirSync(directory, { recursive: true });
    const { numPassedTests: passed, numFailedTests, numRuntimeErrorTestSuites, numPendingTests: skipped } = results;
    const numbers = { passed, failed: numFailedTests + numRuntimeErrorTestSuites, skipped };
    writeFileSync(join(directory, 'summary.json'), `${JSON.stringify(numbers)}\n`);
  }
};

function tellSlowest(seconds) {
  const lines = seconds.slice(0, SLOWEST).map(([file, taken]) => `${taken.toFixed(0).padStart(6)} s  ${file}`);
  process.stderr.write(`\nThe slowest files:\n${lines.join('\n')}\n`);
}

/** Files of a second or less need no place of their own. */
function keepDurations(seconds) {
  const before = JSON.parse(readFileSync(durationsFile, 'utf8'));
  const measured = Object.fromEntries(seconds.map(([file, taken]) => [file, Math.round(taken)]));
  const kept = Object.entries({ ...before, ...measured })
    .filter(([, taken]) => taken > 1)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  writeFileSync(durationsFile, `${JSON.stringify(Object.fromEntries(kept), null, 2)}\n`);
}
