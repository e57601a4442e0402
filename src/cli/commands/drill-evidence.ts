import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { findDrill } from '../../client/drills.js';
import type { SealedEvidence } from '../../domain/drill/drill.js';
import type { EvidenceVerification } from '../../domain/drill/evidence.js';
import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { type Screen, screenTable } from '../terminal/tables.js';

interface EvidenceOptions {
  readonly verify?: boolean;
  readonly publicKey?: string;
  readonly newest?: string;
}

/** `reprise drill evidence` */
export function defineEvidence(parent: Command, cli: Cli): void {
  define<EvidenceOptions>(parent, cli, {
    usage: 'evidence <what>',
    summary: 'show where the evidence of a drill is, or verify it',
    description:
      'Verifying a folder needs nothing but its files and the public key: no server and no configuration. Exit 8 where something was changed or is missing.',
    argumentHelp: {
      what: 'id of a drill, or a folder: of one drill, or with many, such as a copy of CLUSTER, with its records, or of CLUSTER/evidence',
    },
    examples: ['drill evidence 20261004-020000-a1b2c3', 'drill evidence ./evidence --verify --public-key evidence.pub'],
    options: [
      new Option('--verify', 'check hashes, signatures, and that no drill is missing'),
      new Option('--public-key <file>', 'of the key that signs evidence: a .pub file, or one of allowed signers'),
      new Option('--newest <sha256>', 'hash of a manifest that you know of, as a drill shows it: it must be there'),
    ],
    run: async (self, [what = ''], { verify = false, publicKey, newest }) => {
      const isFolder = (await stat(what).catch(() => null))?.isDirectory() === true;
      if (verify !== (publicKey !== undefined) || (newest !== undefined && !verify) || (isFolder && !verify))
        throw new RepriseError(
          'usage',
          'a folder is verified with --verify and --public-key',
          `reprise drill evidence ${what} --verify --public-key evidence.pub`,
        );
      const found = isFolder ? { folder: what } : await evidenceOf(self, what);
      if (publicKey === undefined) return self.print(found, (view) => whereText(view));
      if (found.folder === null)
        throw new RepriseError(
          'path-refused',
          `the evidence of ${what} is not in a directory of this machine`,
          'copy its folder from the repository, then verify the copy',
        );
      const key = await readFile(publicKey, 'utf8').catch((error: Error) => {
        throw new RepriseError('usage', `the public key cannot be read: ${error.message}`, 'name the .pub file');
      });
      const result = await self.services.verifyEvidence(found.folder, key, { newest });
      await self.print({ ...found, ...result }, (view, screen) => resultText(view, screen));
      if (!result.ok)
        throw new RepriseError(
          'check-failed',
          `the evidence does not hold: ${result.problems.length} problems, the first: ${result.problems[0]?.text ?? ''}`,
          'find out who changed it; a copy under object lock, or in another place, may be whole',
        );
    },
  });
}

interface Place {
  /** On this machine; null where it is not. */
  readonly folder: string | null;
  readonly evidence?: SealedEvidence;
}

/** Where the evidence of a drill is, by its record. */
async function evidenceOf(self: Cli, id: string): Promise<Place> {
  const found = await self.withTemporal((session) => findDrill(session, id));
  const evidence = 'outcome' in found ? found.outcome.evidence : null;
  if (evidence === null || !('outcome' in found))
    throw new RepriseError(
      'not-found',
      `drill ${id} has no evidence yet`,
      `see how far it is: reprise drill show ${id}`,
    );
  const { repositories, clusters } = await self.config();
  const repository = repositories[clusters[found.outcome.cluster]?.catalogue ?? ''];
  const root = repository?.type === 'directory' ? repository.options['path'] : undefined;
  const folder = typeof root === 'string' ? join(root, evidence.path) : null;
  return { folder: folder && (await stat(folder).catch(() => null)) ? folder : null, evidence };
}

function whereText({ folder, evidence }: Place): string {
  const lines = [`evidence: ${evidence?.path ?? ''}, ${evidence?.signed === true ? 'signed' : 'not signed'}`];
  lines.push(`  manifest: ${evidence?.sha256 ?? ''} (SHA-256)`);
  if (evidence?.lockedUntil !== undefined) lines.push(`  object lock: until ${evidence.lockedUntil}`);
  if (folder !== null) lines.push(`  here: ${folder}`);
  return lines.join('\n');
}

function resultText({ ok, drills, problems, startsAt, recorded }: EvidenceVerification, screen: Screen): string {
  const rows = drills.map(({ sequence, cluster, drill, verdict, files, signedBy }) => [
    ...[String(sequence), cluster, drill, verdict, String(files), signedBy ?? 'nobody trusted'],
  ]);
  return [
    screenTable(['#', 'cluster', 'drill', 'verdict', 'files', 'signed by'], rows, screen),
    ...startsAt.map(({ cluster, sequence }) => `drills of ${cluster} before number ${sequence} are not in this folder`),
    ...(drills.length > 0 && recorded !== null
      ? [`compared with the ${recorded} drills that the records beside them name`]
      : []),
    ...problems.map(({ code, where, text }) => `${code}: ${where === '' ? 'this folder' : where}: ${text}`),
    ok ? 'verified: nothing was changed, added or left out' : 'NOT verified',
  ].join('\n');
}
