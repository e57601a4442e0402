import { errorTable } from '../../../src/domain/errors.js';

const meanings: Readonly<Record<number, string>> = {
  1: 'the operation failed',
  2: 'usage',
  3: 'partly done',
  4: 'configuration',
  5: 'Temporal, a database or storage is unreachable',
  6: 'not found',
  7: 'conflict, or a lock is held',
  8: 'a check failed',
  9: 'refused before anything was changed: approval, policy, preflight',
  124: '`--timeout` passed; the work goes on',
  130: 'interrupted; the work goes on',
};

/** `docs/reference/errors.md`, from the one table of errors. */
export function errorReference(): string {
  const lines = [
    '# Errors',
    '',
    'Made from the code (`npm run docs`). An error is one lowercase sentence, a `HINT:` with what to do next, and one of these codes;',
    'under `--json` it is `{"error":{"code","message","hint"}}` on stderr. Codes are stable: new ones are added, none is renamed.',
    '"Tried again" says whether Temporal tries the step again by itself.',
  ];
  const codes = Object.entries(errorTable);
  for (const exit of [...new Set(codes.map(([, { exit }]) => exit))].toSorted((a, b) => a - b)) {
    lines.push('', `## Exit ${exit}: ${meanings[exit] ?? ''}`, '', '| code | tried again |', '|---|---|');
    for (const [code, entry] of codes)
      if (entry.exit === exit) lines.push(`| \`${code}\` | ${entry.retryable ? 'yes' : 'no'} |`);
  }
  return `${lines.join('\n')}\n`;
}
