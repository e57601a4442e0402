// Four projects, so that unit tests run without any server: `npm run test:unit`.
const shared = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' }, module: { type: 'es6' }, sourceMaps: 'inline' },
    ],
  },
  // TypeScript's NodeNext says .js where the file is .ts.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
};

const servers = {
  globalSetup: '<rootDir>/test/helpers/global-setup.mjs',
  globalTeardown: '<rootDir>/test/helpers/global-teardown.mjs',
};

export default {
  // Twice the two cores that a run is made for: test files wait for servers half of their time.
  maxWorkers: 4,
  // Machines are shared: a test waits for what it waits for, and no speed is promised. Longer than the waits in it, which say for what.
  testTimeout: 900_000,
  testSequencer: '<rootDir>/test/helpers/slowest-first.cjs',
  reporters: ['default', '<rootDir>/test/helpers/results-reporter.cjs'],
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/test/unit/**/*.test.ts'] },
    {
      ...shared,
      ...servers,
      displayName: 'servers',
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: [
        ...shared.testPathIgnorePatterns,
        '<rootDir>/test/unit/',
        '<rootDir>/test/long/',
        '<rootDir>/test/chaos/full\\.test\\.ts$',
      ],
    },
    // Writes the histories of the replay tests: scripts/record-histories.mjs.
    { ...shared, ...servers, displayName: 'record', testMatch: ['<rootDir>/test/replay/record.ts'] },
    // Minutes each, and with a sample in `npm test`: docs/testing.md says what and why.
    { ...shared, ...servers, displayName: 'long', testMatch: ['<rootDir>/test/long/**/*.test.ts'] },
    // Hours of killing and restarting: not part of `npm test`.
    { ...shared, ...servers, displayName: 'chaos', testMatch: ['<rootDir>/test/chaos/full.test.ts'] },
  ],
};
