import { writeFile } from 'node:fs/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { InspectionResults } from '../../domain/operation/inspections.js';
import { oneOf } from '../../domain/text/text.js';
import { runInspection } from '../../client/inspect.js';
import type { Cli } from '../cli-context.js';
import { byOption, policyOption } from '../common-options.js';
import { define, group } from '../define-command.js';
import { instant } from '../terminal/tables.js';

type Challenge = InspectionResults['key-challenge']['challenges'][number];

interface Options {
  readonly policy?: string;
  readonly recipient?: string;
  readonly challenge?: string;
  readonly answer?: string;
  readonly by?: string;
}

/** `reprise key ...` */
export function registerKey(program: Command, cli: Cli): void {
  const key = group(program, 'key', 'keys that decrypt encrypted backups');
  define<Options>(key, cli, {
    usage: 'prove <cluster>',
    summary: 'prove that a person still has a private key that decrypts the backups',
    description:
      'Makes a challenge for each recipient: a random text that only the holder of the private key can read. The holder ' +
      'decrypts it where the key is kept and gives the text with --answer; that is recorded, with its date, and `doctor` ' +
      'asks again after a year.',
    argumentHelp: { cluster: 'name of the cluster in reprise.yml' },
    examples: [
      'key prove mairie --policy nightly-dump',
      'key prove mairie --policy nightly-dump --recipient age1... --challenge challenge.age',
      'key prove mairie --policy nightly-dump --recipient age1... --answer kx7f2-9qpra-mm3hd-w8c2t',
    ],
    options: [
      policyOption(),
      new Option('--recipient <key>', 'public key (age1...) of the key to prove (default: a challenge for each)'),
      new Option('--challenge <file>', 'write the challenge into a file'),
      new Option('--answer <text>', 'the text that the holder decrypted'),
      byOption(),
    ],
    changes: true,
    run: async (self, [cluster = ''], options) => {
      const { name: policy } = await self.policy(cluster, options.policy);
      const { recipient, answer } = options;
      if (answer !== undefined && recipient === undefined)
        throw new RepriseError(
          'usage',
          '--answer needs the public key to which it belongs',
          'name the public key: --recipient age1...',
        );
      const asked = { cluster, policy, recipient };
      if (options.dryRun)
        return self.print(
          { dryRun: true, ...asked },
          () =>
            `would ${answer === undefined ? 'make a challenge for' : 'record an answer of'} ${recipient ?? 'each recipient'}`,
        );
      if (answer !== undefined && recipient !== undefined) {
        const question = {
          kind: 'key-answer',
          cluster,
          policy,
          recipient,
          answer,
          by: self.person(options.by),
        } as const;
        const proof = await self.withTemporal((session) => runInspection<'key-answer'>(session, question));
        return self.print(
          proof,
          ({ provenAt }) => `recorded: a person had the private key of ${recipient} at ${instant(provenAt)}`,
        );
      }
      const { challenges } = await self.withTemporal((session) =>
        runInspection<'key-challenge'>(session, { kind: 'key-challenge', ...asked }),
      );
      if (options.challenge !== undefined) await writeChallenge(options.challenge, challenges);
      await self.print({ challenges }, (view) =>
        view.challenges.map((one) => challengeText(one, { cluster, policy, file: options.challenge })).join('\n\n'),
      );
    },
  });
}

async function writeChallenge(file: string, challenges: readonly Challenge[]): Promise<void> {
  const [only, ...others] = challenges;
  if (only === undefined || others.length > 0) {
    throw new RepriseError(
      'usage',
      `there are ${challenges.length} recipients, and each has a separate challenge`,
      `name one: ${oneOf(
        '--recipient',
        challenges.map(({ recipient }) => recipient),
      )}`,
    );
  }
  await writeFile(file, only.challenge, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError(
      'path-refused',
      `${file} cannot be written: ${error.code ?? 'unknown'}`,
      'name a file that is not there yet, in a directory that is',
    );
  });
}

function challengeText(
  { recipient, challenge, provenAt }: Challenge,
  { cluster, policy, file }: { cluster: string; policy: string; file: string | undefined },
): string {
  return [
    `${recipient}`,
    `  last proven: ${provenAt === null ? 'never' : instant(provenAt)}`,
    ...(file === undefined ? ['', challenge.trimEnd(), ''] : [`  challenge:   ${file}`]),
    '  where its private key is kept:',
    `    age -d -i KEYFILE ${file ?? 'CHALLENGE.age'}`,
    '  then, with what it prints, within 30 days:',
    `    reprise key prove ${cluster} --policy ${policy} --recipient ${recipient} --answer TEXT`,
  ].join('\n');
}
