// Files that took longest in an earlier run start first, so that none of them is alone at the end.
const { readFileSync } = require('node:fs');
const { join, relative } = require('node:path');

/** A file with servers that no run has measured yet may be a long one. */
const UNKNOWN_SECONDS = 30;

module.exports = class SlowestFirst {
  sort(tests) {
    const durations = JSON.parse(readFileSync(join(__dirname, 'durations.json'), 'utf8'));
    const secondsOf = ({ path, context }) => {
      const { rootDir, displayName } = context.config;
      return durations[relative(rootDir, path)] ?? (displayName?.name === 'unit' ? 1 : UNKNOWN_SECONDS);
    };
    return [...tests].sort((one, other) => secondsOf(other) - secondsOf(one));
  }

  /** For --onlyFailures and --shard, which nobody uses here. */
  allFailedTests() {
    return [];
  }

  shard(tests) {
    return tests;
  }

  cacheResults() {}
};
