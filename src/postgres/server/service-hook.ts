import { basename, dirname, join } from 'node:path';
import type { ServiceConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { ServiceKind, ServicePlace } from './service-kind.js';

type Hook = Extract<ServiceConfig, { kind: 'hook' }>;

/** The operator's own commands, run as the worker's user; what needs more goes through sudoers rules. */
export function hookService(config: Hook, place: ServicePlace): ServiceKind {
  const { dataDir } = place;
  return {
    logFile: place.logFile ?? join(dirname(dataDir), `${basename(dataDir)}.log`),
    start: async (settings, seconds) => {
      if (Object.keys(settings).length > 0) {
        throw new RepriseError(
          'capability-missing',
          'a service of kind hook takes no settings for one start',
          'Write them to postgresql.auto.conf.',
        );
      }
      await runProgram(config.start, { timeoutMs: seconds * 1000 });
    },
    stop: async (_mode, seconds) => {
      await runProgram(config.stop, { timeoutMs: seconds * 1000 });
    },
  };
}
