import { chmod, cp, copyFile, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SealedEvidence } from '../domain/drill/drill.js';
import type { EvidenceVerification } from '../domain/drill/evidence.js';
import { runProgram } from '../process/exec/run-program.js';
import type { EvidenceShown } from './result.js';
import type { Scratch } from './scratch.js';
import { CLUSTER, evidenceKey, recordsDirectory } from './settings.js';
import type { Stage } from './stage.js';

/** The file that a forger would change first, and where its RTO begins. */
const OUTCOME = 'outcome.json';
const RTO = /"rtoSeconds": (?=\d)/;

/** A key for this run alone. */
export async function makeEvidenceKey(scratch: Scratch): Promise<void> {
  await runProgram(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'reprise demo', '-f', evidenceKey(scratch)]);
}

/**
 * Copies the evidence to where it stays, verifies the copy by a command that gets nothing but its files and the public key, and does so
 * again with another copy in which one byte was changed.
 */
export async function showEvidence(stage: Stage, drillId: string, sealed: SealedEvidence): Promise<EvidenceShown> {
  const { scratch, narrator } = stage;
  const reports = await stage.reports();
  const [folder, altered, publicKey] = [
    join(reports, 'evidence'),
    join(reports, 'changed'),
    join(reports, 'evidence.pub'),
  ];
  const archived = join(recordsDirectory(scratch), CLUSTER, 'evidence');
  for (const copy of [folder, altered]) await cp(archived, copy, { recursive: true });
  await copyFile(`${evidenceKey(scratch)}.pub`, publicKey);

  narrator.say(`copied to ${folder}, and verified from its files and the public key alone:`);
  const whole = await verify(stage, folder, publicKey);
  narrator.say(
    whole.ok
      ? `verified: ${whole.drills.map(({ files, signedBy }) => `${files} files, signed by ${signedBy ?? 'nobody trusted'}`).join('; ')}`
      : `NOT verified: ${problemsOf(whole)}`,
  );

  const file = join(drillId, OUTCOME);
  const { offset, before, after } = await changeByte(join(altered, file));
  narrator.say(`in another copy one byte of ${file} is changed, byte ${offset}: "${before}" is "${after}" now`);
  const { ok, problems } = await verify(stage, altered, publicKey);
  narrator.say(ok ? 'it was NOT found' : `found: ${problemsOf({ problems })}`);
  const found = !ok && problems.some(({ code, where }) => code === 'file-changed' && where === file);
  return {
    ...sealed,
    folder,
    publicKey,
    verified: whole.ok,
    changed: { folder: altered, file, offset, found, problems },
  };
}

/** As a person would: the exit code is 0, or 8 where something was changed. */
async function verify(
  { mainFile, narrator, decision }: Stage,
  folder: string,
  publicKey: string,
): Promise<EvidenceVerification> {
  const args = ['drill', 'evidence', folder, '--verify', '--public-key', publicKey];
  narrator.block(`reprise ${args.join(' ')}`);
  const { stdout } = await runProgram([process.execPath, mainFile, ...args, '--json'], {
    acceptCodes: [0, 8],
    signal: decision.signal,
  });
  return JSON.parse(stdout) as EvidenceVerification;
}

const problemsOf = ({ problems }: Pick<EvidenceVerification, 'problems'>): string =>
  problems.map(({ code, where, text }) => `${code}: ${where}: ${text}`).join('; ');

/** Another first digit of the RTO: the file is still a good one of its kind. */
async function changeByte(path: string): Promise<{ offset: number; before: string; after: string }> {
  const text = await readFile(path, 'latin1');
  const found = RTO.exec(text);
  // Without a restore there is no RTO: then it is the first character.
  const offset = found === null ? 0 : found.index + found[0].length;
  const before = text.charAt(offset);
  const after = before === '1' ? '2' : '1';
  // Evidence is read-only, and so are its copies.
  await chmod(path, 0o600);
  const file = await open(path, 'r+');
  try {
    await file.write(after, offset, 'latin1');
  } finally {
    await file.close();
  }
  return { offset, before, after };
}
