import { describe, expect, it } from '@jest/globals';
import { logSettings } from '../../../src/cli/common-options.js';
import { RepriseError } from '../../../src/domain/errors.js';
import type { LogSettings } from '../../../src/domain/log-settings.js';
import { runtimeLogging, workerLogger } from '../../../src/worker/logging.js';

/** What a worker with these settings writes of one debug line, one warning and one error. */
function written(settings: LogSettings): string[] {
  const lines: string[] = [];
  const logger = workerLogger(settings, (line) => lines.push(line));
  logger.debug('activity started', { activityType: 'runBackup', attempt: 2, taskToken: new Uint8Array(3) });
  logger.warn('password=hunter2 was refused');
  logger.error('activity failed', { workflowId: 'backup/mairie/nightly', error: new Error('token: abc123') });
  return lines;
}

describe("a worker's log", () => {
  it('is warnings and errors, a line of text each, unless more is asked for', () => {
    const lines = written({ level: 'warn', format: 'text' });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z WARN password=\*\*\* was refused$/);
    expect(lines[1]).toMatch(/ ERROR activity failed: token: \*\*\*$/);
    expect(written({ level: 'error', format: 'text' })).toHaveLength(1);
    expect(written({ level: 'debug', format: 'text' })).toHaveLength(3);
  });

  it('is one JSON object a line for machines, with the work it is about and no secret (F39)', () => {
    const [debug, warning, error] = written({ level: 'debug', format: 'json' }).map(
      (line) => JSON.parse(line) as Record<string, unknown>,
    );
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(debug).toEqual({ time, level: 'debug', message: 'activity started', activityType: 'runBackup', attempt: 2 });
    expect(warning).toEqual({ time, level: 'warn', message: 'password=*** was refused' });
    expect(error).toEqual({
      time,
      level: 'error',
      message: 'activity failed',
      workflowId: 'backup/mairie/nightly',
      error: 'token: ***',
    });
  });

  it("holds the polls of the SDK's core at trace only", () => {
    const coreOf = (level: LogSettings['level']): unknown =>
      runtimeLogging({ level, format: 'text' }).telemetryOptions?.logging?.filter;
    expect(coreOf('debug')).toMatchObject({ core: 'WARN' });
    expect(coreOf('trace')).toMatchObject({ core: 'DEBUG' });
  });
});

describe('where the log settings come from', () => {
  it('flag, else environment, else warnings as text', () => {
    const env = { REPRISE_LOG_LEVEL: 'info', REPRISE_LOG_FORMAT: 'json' };
    expect(logSettings({}, {})).toEqual({ level: 'warn', format: 'text' });
    expect(logSettings({}, env)).toEqual({ level: 'info', format: 'json' });
    expect(logSettings({ logLevel: 'debug', logFormat: 'text' }, env)).toEqual({ level: 'debug', format: 'text' });
  });

  it('a word that is not known is refused with those that are', () => {
    expect(() => logSettings({}, { REPRISE_LOG_LEVEL: 'loud' })).toThrow(
      new RepriseError('usage', 'REPRISE_LOG_LEVEL=loud is not known'),
    );
  });
});
