import { Option } from 'commander';
import type { Command } from 'commander';
import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import type { DemoScenario } from '../services.js';

/** `reprise demo` */
export function registerDemo(program: Command, cli: Cli): void {
  define<{ scenario: DemoScenario; keep?: boolean; dir?: string }>(program, cli, {
    usage: 'demo',
    summary: 'lose a real database and recover it, or drill: everything embedded, nothing on this machine is changed',
    description:
      'Exit 0 only when every table matches the log of the client that wrote it; with --scenario drill, only when also the drill passed, its evidence was verified, and a byte changed in a copy of it was found.',
    examples: ['demo', 'demo --yes --json', 'demo --keep', 'demo --scenario drill'],
    options: [
      new Option('--scenario <name>', 'what happens')
        .choices(['instance-loss', 'table-corruption', 'drill'])
        .default('instance-loss'),
      new Option('--keep', 'leave everything running at the end, for inspection'),
      new Option('-y, --yes', 'do not ask: approve the plan, or sign the drill off, as `demo`'),
      new Option('--dir <path>', 'where its directory is created (default: the temporary directory of the system)'),
    ],
    run: async (self, _args, { scenario, keep = false, yes = false, dir }) => {
      const json = self.format !== 'table';
      const { result, text } = await self.services.demo({
        scenario,
        keep,
        yes,
        json,
        dir,
        out: (line) => self.say(line),
      });
      await self.print(result, () => text);
      if (!result.recovered)
        throw new RepriseError(
          'check-failed',
          scenario === 'drill'
            ? 'the drill or its evidence is not as it should be'
            : 'the recovered data is not the data before the loss',
          `run \`reprise demo${scenario === 'instance-loss' ? '' : ` --scenario ${scenario}`} --keep\` and read the report`,
        );
    },
  });
}
