import { readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';
import type { DrillCheck, DrillPlan, DrillRestored, SignOff } from '../domain/drill/drill.js';
import { RepriseError } from '../domain/errors.js';
import { MOST_REDACTED, redact } from '../domain/text/redact.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { makePrivateDirectory, syncDirectory } from '../files/directories.js';
import { errnoOf } from '../files/paths.js';
import { isPlainName, ledgerFileName } from '../files/safe-names.js';
import { readJsonAs, replaceJson } from './state-files.js';

/** Most characters of one file of the evidence: it is kept for years, and read by people. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

/** What one restore of a drill came to, with when it began and was ready for checks (UTC ISO-8601). */
export type KeptRestore = DrillRestored & { readonly startedAt: string; readonly readyAt: string };

/** Why a step of a drill did not do what it should, in the host's own words. */
export interface DrillFailure {
  readonly step: string;
  /** Index in `DrillPlan.restores`; null for a step of the whole drill. */
  readonly restore: number | null;
  readonly code: string;
  readonly text: string;
  readonly at: string;
}

/**
 * What a drill has done so far, on its staging host: owner-only, in `<state_dir>/drills/<operation id>/`. Every step keeps its result
 * here, and replaces what an earlier attempt kept; the evidence is made of it.
 */
export interface DrillFolder {
  /** Absolute path of the folder. */
  readonly path: string;
  savePlan(plan: DrillPlan): Promise<void>;
  /** Null where nothing was planned. */
  plan(): Promise<DrillPlan | null>;
  saveRestored(restore: number, restored: KeptRestore): Promise<void>;
  restored(restore: number): Promise<KeptRestore | null>;
  /** `cross`: of the whole drill. */
  saveChecks(restore: number | 'cross', checks: readonly DrillCheck[]): Promise<void>;
  checks(restore: number | 'cross'): Promise<readonly DrillCheck[] | null>;
  saveSignOff(signOff: SignOff): Promise<void>;
  signOff(): Promise<SignOff | null>;
  saveFailure(failure: DrillFailure): Promise<void>;
  /** In the order of time. */
  failures(): Promise<readonly DrillFailure[]>;
  /**
   * Keeps a text for the evidence, without secrets and row values and cut where it is too long; returns the name under which a check
   * refers to it. `name`: plain names, `/` between them, such as `checks/physical/row-counts.json`.
   */
  keepText(name: string, text: string): Promise<string>;
  /** What was kept by {@link keepText}, by its name. */
  texts(): Promise<ReadonlyMap<string, string>>;
  /** Keeps the files of the evidence, whole or not at all; what is kept already stays, so that a repetition seals the same bytes. */
  saveEvidence(files: ReadonlyMap<string, string>): Promise<void>;
  /** By name; null where none was made. */
  evidence(): Promise<ReadonlyMap<string, string> | null>;
}

const planFile = z.looseObject({ digest: z.string(), cluster: z.string(), restores: z.array(z.unknown()) });
const restoredFile = z.looseObject({ policy: z.string(), rtoSeconds: z.number(), phases: z.array(z.unknown()) });
const checksFile = z.looseObject({ checks: z.array(z.looseObject({ name: z.string(), status: z.string() })) });
const signOffFile = z.looseObject({ verdict: z.enum(['pass', 'fail']), by: z.string(), at: z.string() });
const failuresFile = z.looseObject({ failures: z.array(z.looseObject({ step: z.string(), text: z.string() })) });

/** Where drills of this host keep what they have done. */
export function drillsDirectory(stateDir: string): string {
  return join(stateDir, 'drills');
}

export function openDrillFolder(stateDir: string, operationId: string): DrillFolder {
  const path = join(drillsDirectory(stateDir), ledgerFileName(operationId));
  const file = (name: string) => join(path, `${name}.json`);
  const keptTexts = join(path, 'texts');
  const evidence = join(path, 'evidence');
  const failures = async (): Promise<readonly DrillFailure[]> =>
    (await readJsonAs<{ failures: DrillFailure[] }>(file('failures'), failuresFile))?.failures ?? [];

  return {
    path,
    failures,
    savePlan: (plan) => replaceJson(file('plan'), plan),
    plan: () => readJsonAs<DrillPlan>(file('plan'), planFile),
    saveRestored: (restore, restored) => replaceJson(file(`restored-${restore}`), restored),
    restored: (restore) => readJsonAs<KeptRestore>(file(`restored-${restore}`), restoredFile),
    saveChecks: (restore, checks) => replaceJson(file(`checks-${restore}`), { checks }),
    checks: async (restore) =>
      (await readJsonAs<{ checks: DrillCheck[] }>(file(`checks-${restore}`), checksFile))?.checks ?? null,
    saveSignOff: (signOff) => replaceJson(file('sign-off'), signOff),
    signOff: () => readJsonAs<SignOff>(file('sign-off'), signOffFile),

    async saveFailure(failure) {
      await replaceJson(file('failures'), {
        failures: [...(await failures()), { ...failure, text: redact(failure.text) }],
      });
    },

    async keepText(name, text) {
      const target = join(keptTexts, ...checkedName(name));
      await makePrivateDirectory(dirname(target));
      await writeFileAtomic(target, withoutSecrets(text));
      return name;
    },

    texts: () => filesBelow(keptTexts),

    async saveEvidence(files) {
      const making = `${evidence}.new`;
      await rm(making, { recursive: true, force: true });
      for (const [name, content] of files) {
        const target = join(making, ...checkedName(name));
        await makePrivateDirectory(dirname(target));
        await writeFileAtomic(target, content);
      }
      // Only an empty directory would be replaced: the first one stays.
      await rename(making, evidence).catch(async (error: unknown) => {
        if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
        await rm(making, { recursive: true, force: true });
      });
      await syncDirectory(path);
    },

    async evidence() {
      const files = await filesBelow(evidence);
      return files.size === 0 ? null : files;
    },
  };
}

/** Plain files by their names below a directory, sorted; none where there is no such directory. */
async function filesBelow(directory: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const names = entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.tmp'))
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')] as const)),
  );
}

/** Names become paths, here and in the repository: nothing else may. */
function checkedName(name: string): readonly string[] {
  const parts = name.split('/');
  if (parts.length <= 4 && parts.every((part) => isPlainName(part, 120))) return parts;
  throw new RepriseError('internal', `${JSON.stringify(name.slice(0, 80))} is no name of a file of the evidence`);
}

/** By pieces that end with a line: what hides secrets reads no more at once. */
function withoutSecrets(text: string): string {
  const kept = text.slice(0, MOST_CHARACTERS);
  const pieces: string[] = [];
  for (let start = 0; start < kept.length;) {
    const end = start + MOST_REDACTED < kept.length ? kept.lastIndexOf('\n', start + MOST_REDACTED - 1) + 1 : 0;
    const piece = kept.slice(start, end > start ? end : start + MOST_REDACTED);
    pieces.push(redact(piece));
    start += piece.length;
  }
  return `${pieces.join('')}${text.length > kept.length ? `\n(${text.length - kept.length} more characters were left out)\n` : ''}`;
}
