import { z } from 'zod';
import type { DrillConfig } from '../../domain/config.js';
import { duration, path } from '../../domain/fields.js';
import { argv, databaseName, filledIn, port, reference } from './fields.js';
import type { KnownNames } from '../known-names.js';
import { schedule } from './schedule.js';

/** The first Sunday of each quarter, at night. */
const quarterly = {
  calendar: { day_of_week: 'SUNDAY' as const, day_of_month: '1-7', months: [1, 4, 7, 10], hour: 2 },
};

/** Schema of `sign_off`. `within`: the time where none is given, and what follows when it is over. */
export const signOffSchema = (names: KnownNames, within: { readonly time: string; readonly meaning: string }) =>
  z
    .strictObject({
      by: z
        .array(reference('contact', 'contacts', names.contacts))
        .min(1)
        .describe('Contacts who may sign off: each of them alone.'),
      within: duration().prefault(within.time).describe(within.meaning),
    })
    .transform(({ by, within: withinSeconds }) => ({ by, withinSeconds }));

const mask = z
  .strictObject({
    argv: argv().describe(
      'Program and arguments, run on the staging host without a shell, before people are let in. It finds the restored server by PGHOST, PGPORT and PGUSER.',
    ),
    timeout: duration().prefault('10m').describe('Stopped after this time; the drill then lets nobody in.'),
  })
  .transform(({ argv, timeout: timeoutSeconds }) => ({ argv, timeoutSeconds }));

/** Schema of `drill`: where restores are practised, when, with what, and who says that they were good. */
export const drillSchema = (names: KnownNames) =>
  z
    .strictObject({
      host: filledIn(reference('host', 'hosts', names.hosts)).describe(
        'Staging host; absent: the only one that is configured.',
      ),
      allow_same_host: z.boolean().default(false).describe('Whether the staging host may be the host of the cluster.'),
      data_dir: path().describe(
        'Directory of the drills on the staging host. Each drill empties it: it must be empty or absent at first, and is marked then.',
      ),
      port: port().describe('Port of the restored server.'),
      engines: z
        .array(z.string().min(1))
        .min(1)
        .optional()
        .describe(
          'Kinds of engine or names of policies, restored in this order; absent: every enabled policy in turn.',
        ),
      at: z
        .enum(['random', 'latest'])
        .default('latest')
        .describe('To which instant: the latest, or a random one inside what can be recovered.'),
      sign_off: signOffSchema(names, {
        time: '5d',
        meaning: 'Time for the sign-off; a drill that nobody signs off is incomplete.',
      })
        .optional()
        .describe('Who signs off; absent: nobody is asked, and the checks decide.'),
      schedule: schedule
        .prefault(quarterly)
        .describe('When drills run; absent: the first Sunday of each quarter, 02:00 UTC.'),
      mask: mask.optional().describe('Your program that masks personal data before people are let in.'),
    })
    .transform(
      ({
        allow_same_host: allowSameHost,
        data_dir: dataDir,
        engines = [],
        sign_off: signOff,
        ...rest
      }): DrillConfig => ({
        ...rest,
        allowSameHost,
        dataDir,
        engines,
        signOff,
      }),
    );

/** Schema of `canary`. */
export const canarySchema = z
  .strictObject({
    database: databaseName.describe('Database of the cluster that it is written to.'),
    every: duration().prefault('5m').describe('Time between two rows; it bounds how exactly the RPO is known.'),
  })
  .transform(({ database, every: everySeconds }) => ({ database, everySeconds }));

/** Schema of `evidence`. */
export const evidenceSchema = z
  .strictObject({
    signing_key: path().describe('Private SSH key on the staging host, mode 0600, without a passphrase.'),
  })
  .transform(({ signing_key: signingKey }) => ({ signingKey }));
