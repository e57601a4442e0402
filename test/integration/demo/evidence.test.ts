import { expect, it } from '@jest/globals';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeEvidenceKey, showEvidence } from '../../../src/demo/evidence.js';
import { createNarrator } from '../../../src/demo/narrator.js';
import type { Scratch } from '../../../src/demo/scratch.js';
import { evidenceKey, recordsDirectory } from '../../../src/demo/settings.js';
import type { Stage } from '../../../src/demo/stage.js';
import { openSshSigner } from '../../../src/process/exec/ssh-signing.js';
import { sealEvidence } from '../../../src/records/evidence/chain.js';
import { NAMESPACE } from '../../../src/records/evidence/manifest.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';

const drill = '20261101-020000-aaaaaa';

/** A sealed drill as the demo's worker leaves it, and the part of the demo that shows it. */
async function sealedDrill(outcome: string) {
  const scratch = { root: await tempDir('demo-evidence') } as Scratch;
  await makeEvidenceKey(scratch);
  const sealed = await seal(scratch, outcome);
  const reports = await tempDir('demo-reports');
  const said: string[] = [];
  const stage = {
    scratch,
    mainFile: fileURLToPath(new URL('../../../dist/main.js', import.meta.url)),
    narrator: createNarrator((line) => said.push(line)),
    decision: { yes: true, interactive: false, signal: new AbortController().signal },
    reports: async () => reports,
  } as Partial<Stage> as Stage;
  return { stage, sealed, said, reports };
}

async function seal(scratch: Scratch, outcome: string) {
  const about = {
    ...{ cluster: 'mairie', drill, verdict: 'pass' as const },
    ...{ startedAt: '2026-11-01T02:00:00.000Z', finishedAt: '2026-11-01T03:00:00.000Z' },
  };
  const files = new Map([
    ['outcome.json', outcome],
    ['report.html', '<h1>Drill</h1>\n'],
  ]);
  const signer = await openSshSigner(evidenceKey(scratch), NAMESPACE);
  return sealEvidence(openDirectory({ path: recordsDirectory(scratch) }), { about, files, signer });
}

it('P5, V4: the demo has the command line verify a copy of the evidence, and find the byte that it changed in another', async () => {
  const outcome = '{\n "verdict": "pass",\n "rtoSeconds": 8.5\n}\n';
  const { stage, sealed, said, reports } = await sealedDrill(outcome);
  const shown = await showEvidence(stage, drill, sealed);
  expect(shown).toMatchObject({ signed: true, verified: true, folder: join(reports, 'evidence') });
  const file = join(drill, 'outcome.json');
  expect(shown.changed).toMatchObject({ found: true, file, problems: [{ code: 'file-changed', where: file }] });
  // One byte, of the number that counts; what is archived and what was verified stay as they were.
  const offset = outcome.indexOf('8.5');
  expect(shown.changed.offset).toBe(offset);
  expect(await readFile(join(shown.changed.folder, file), 'utf8')).toBe(outcome.replace('8.5', '1.5'));
  expect(await readFile(join(shown.folder, file), 'utf8')).toBe(outcome);
  expect(await readFile(join(recordsDirectory(stage.scratch), 'mairie/evidence', file), 'utf8')).toBe(outcome);
  expect(said.join('\n')).toContain(`byte ${offset}: "8" is "1" now`);
  expect(said.join('\n')).toContain(`found: file-changed: ${file}: its SHA-256 is `);
});

it('P5, V4: evidence that does not hold is said to be so, also where no RTO is in it', async () => {
  const { stage, sealed, said } = await sealedDrill('{"verdict":"incomplete"}\n');
  // Another key than the one that signed: nobody can vouch for it.
  const other = { root: await tempDir('demo-other-key') } as Scratch;
  await makeEvidenceKey(other);
  await copyFile(`${evidenceKey(other)}.pub`, `${evidenceKey(stage.scratch)}.pub`);
  const shown = await showEvidence(stage, drill, sealed);
  expect(shown).toMatchObject({ verified: false, changed: { found: true, offset: 0 } });
  expect(said.join('\n')).toContain('NOT verified: key-wrong');
});
