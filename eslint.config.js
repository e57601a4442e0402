import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

// eslint's `console` rule and not a global's absence: the command line's own output is allowed to use it.
const commandLine = ['src/main.ts', 'src/cli/**'];

export default tseslint.config(
  { ignores: ['dist/**', 'coverage/**', 'test-results/**', '.reprise/**'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: {
      parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // In a workflow or an activity a promise nobody waits for is work that is lost without a word.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['**/*.{js,cjs,mjs}'],
    languageOptions: {
      globals: {
        console: 'readonly',
        process: 'readonly',
        URL: 'readonly',
        module: 'writable',
        require: 'readonly',
        __dirname: 'readonly',
      },
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: { complexity: ['error', { max: 15 }], 'no-console': 'error' },
  },
  { files: commandLine, rules: { 'no-console': 'off' } },
  {
    // What runs inside the sandbox is replayed: only what gives the same answer every time may come in.
    files: ['src/workflows/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!@temporalio/(workflow|common)$|\\.{1,2}/)',
              message: 'a workflow imports only @temporalio/workflow, @temporalio/common, domain and other workflows',
            },
            {
              regex:
                '^(\\.\\./)+(?!domain/|activities/|workflows/|(backup|explore|incident|lock|media|operation|recovery|table)/|(api|archive|inspect)\\.js$)[^./]',
              message: 'a workflow imports no other folder than domain',
            },
            {
              regex: '/activities/',
              allowTypeImports: true,
              message: 'a workflow knows activities as types only: import type',
            },
          ],
        },
      ],
      'no-restricted-globals': ['error', 'process', 'Buffer', 'setImmediate', 'fetch'],
    },
  },
);
