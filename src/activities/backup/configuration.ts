import { isAbsolute, normalize } from 'node:path';
import { z } from 'zod';
import type { Backup, BackupConfiguration, BoundContent } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { configurationDir } from '../../domain/plan/recovery-place.js';
import type { MadeBackup } from '../../engines/engine.js';
import { maskSecrets } from '../../postgres/recovery/configuration-mask.js';
import { type Configuration, readConfiguration } from '../../postgres/recovery/configuration.js';
import {
  copyAccessRules,
  extractFiles,
  pointToConfiguration,
  restoreMissingFiles,
} from '../../postgres/recovery/restore-configuration.js';
import { recipientsOf } from '../../process/age/age-keys.js';
import { decryptText, encryptText } from '../../process/age/age-text.js';
import { sha256Hex } from '../../records/digest.js';
import type { PlannedStep } from '../api.js';
import { type ClusterContext, engineFor, policyOf, record, storageOf } from '../cluster-context.js';
import type { AuthorizedStep } from '../recovery/authorized-step.js';
import { markOldData, recordOldData } from '../recovery/old-data.js';

const keyOf = ({ cluster, name }: PolicyConfig, label: string, encrypted: boolean): string =>
  `${cluster}/${name}/configuration/${label}.json${encrypted ? '.age' : ''}`;

/**
 * Captures the configuration that is outside the data directory and so in no physical backup: encrypted as the policy
 * says, else with its secrets masked. A failure does not fail the backup: it is recorded with it.
 */
export async function withConfiguration(
  clusterContext: ClusterContext,
  policyName: string,
  backup: MadeBackup,
): Promise<MadeBackup> {
  const policy = policyOf(clusterContext, policyName);
  if (engineFor(clusterContext, policy).capabilities.method !== 'data-directory') return backup;
  try {
    const configuration = await capture(clusterContext, policy, backup.label);
    return configuration === null ? backup : { ...backup, configuration };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      ...backup,
      configuration: {
        key: null,
        files: [],
        masked: 0,
        certificates: [],
        notCaptured: [{ path: 'configuration', reason }],
      },
    };
  }
}

async function capture(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  label: string,
): Promise<BackupConfiguration | null> {
  const found = await readConfiguration(clusterContext.cluster.connection);
  const { certificates, notCaptured } = found;
  if (found.files.length > 0) return storeConfiguration(clusterContext, policy, label, found);
  return notCaptured.length === 0 ? null : { key: null, files: [], masked: 0, certificates, notCaptured };
}

/** Writes it into the policy's folder: encrypted, or without secrets. */
export async function storeConfiguration(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  label: string,
  found: Configuration,
): Promise<BackupConfiguration> {
  const { certificates, notCaptured } = found;
  const storage = storageOf(clusterContext, policy);
  const files = found.files.map(({ path }) => path);
  if (policy.encryption) {
    const key = keyOf(policy, label, true);
    const text = await encryptText(await recipientsOf(policy.encryption), JSON.stringify(found), clusterContext.user);
    await storage.write(key, text);
    return { key, sha256: sha256Hex(text), files, masked: 0, certificates, notCaptured };
  }
  const hidden = found.files.map((file) => ({ ...file, ...maskSecrets(file.text) }));
  const key = keyOf(policy, label, false);
  const text = JSON.stringify({ ...found, files: hidden.map(({ masked: _masked, ...file }) => file) });
  await storage.write(key, text);
  return {
    key,
    sha256: sha256Hex(text),
    files,
    masked: hidden.reduce((sum, { masked }) => sum + masked, 0),
    certificates,
    notCaptured,
  };
}

/** Goes with its backup. */
export async function removeConfiguration(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  label: string,
): Promise<void> {
  if (engineFor(clusterContext, policy).capabilities.method !== 'data-directory') return;
  for (const encrypted of [false, true])
    await storageOf(clusterContext, policy).remove(keyOf(policy, label, encrypted));
}

/**
 * Extracts the captured configuration beside the restored data, and puts back the files that the plan says are missing. Where
 * it cannot be read, the recovery goes on: the journal says why.
 * @throws RepriseError `privilege-missing` where this worker may not write a missing file
 */
export async function restoreConfiguration(work: AuthorizedStep, step: PlannedStep, backup: Backup): Promise<void> {
  const { clusterContext, dataDir, plan, inPlace } = work;
  if (!backup.configuration?.key) return;
  const bound = plan.binding.backups.find(({ id }) => id === backup.id)?.content?.[CONFIGURATION];
  const note = (what: string, text: string) =>
    record(clusterContext, step, `configuration/${what}`, {
      kind: 'journal',
      workflowId: step.workflowId,
      step: 'configuration',
      text,
    });
  const captured = await loadConfiguration(clusterContext, policyOf(clusterContext, plan.binding.policy), {
    ...backup.configuration,
    key: backup.configuration.key,
    bound,
  }).catch(async (error: unknown) => {
    await note(
      'unreadable',
      `the configuration captured with ${backup.id} cannot be read: ${(error as Error).message}`,
    );
    return null;
  });
  if (captured === null) return;
  const extractedDir = configurationDir(work.home, step.operationId);
  const kept = {
    keptId: `${step.operationId}/configuration`,
    what: `configuration captured with ${backup.id}`,
    where: extractedDir,
  };
  await recordOldData(work, step, 'kept/configuration', kept);
  await extractFiles(captured.files, extractedDir, clusterContext.user);
  await markOldData(work, kept);
  if (plan.binding.targetHost !== plan.binding.sourceHost)
    await copyAccessRules(dataDir, captured, clusterContext.user);
  const gone = plan.binding.putsBack ?? [];
  await restoreMissingFiles(
    captured.files.filter(({ path }) => gone.includes(path)),
    extractedDir,
    clusterContext.user,
  );
  if (inPlace && (clusterContext.cluster.service?.kind ?? 'pg_ctl') === 'pg_ctl')
    await pointToConfiguration(dataDir, captured, clusterContext.user);
  const masked =
    backup.configuration.masked > 0
      ? `; ${backup.configuration.masked} secrets in it were masked: fill them in at ***`
      : '';
  const done =
    gone.length > 0
      ? `, and ${gone.join(', ')} restored because they were missing`
      : '; files that are in place were not changed';
  await note('restored', `the configuration captured with the backup is in ${extractedDir}${done}${masked}`);
}

/** Name under which the captured configuration is bound, beside what the engine binds. */
const CONFIGURATION = 'configuration';

/** What a plan binds of the configuration captured with a backup; nothing where there is none, or it cannot be read. */
export async function bindConfiguration(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  { configuration }: Pick<Backup, 'configuration'>,
): Promise<BoundContent> {
  const key = configuration?.key ?? null;
  if (key === null) return {};
  const found = await storageOf(clusterContext, policy)
    .read(key)
    .catch((error: unknown) => {
      if (isRepriseError(error)) return null;
      throw error;
    });
  return found === null ? {} : { [CONFIGURATION]: sha256Hex(found) };
}

// Paths and modes are written with our rights: nothing is taken that a capture does not write.
const captured = z.object({
  dataDirectory: z.string(),
  main: z.partialRecord(z.enum(['config_file', 'hba_file', 'ident_file']), z.string()),
  files: z.array(z.object({ path: z.string(), mode: z.int().min(0).max(0o777), text: z.string() })),
  certificates: z.array(z.string()),
  notCaptured: z.array(z.object({ path: z.string(), reason: z.string() })),
});

/**
 * What was captured with a backup, as it is bound and was recorded: the same content, and no file that the record does not name.
 * @throws RepriseError `not-found`, `key-missing`, `backup-corrupt`, and what the storage throws
 */
export async function loadConfiguration(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  {
    key,
    sha256,
    files,
    bound,
  }: Pick<BackupConfiguration, 'sha256' | 'files'> & { readonly key: string; readonly bound: string | undefined },
): Promise<Configuration> {
  const stored = await storageOf(clusterContext, policy).read(key);
  const changed = (what: string) =>
    new RepriseError(
      'backup-corrupt',
      `${key} differs from what was captured: ${what}`,
      'compare it with the configuration of another backup, and copy the correct files by hand',
    );
  if (sha256 !== undefined && sha256Hex(stored) !== sha256) throw changed('its SHA-256 is not the recorded one');
  if (sha256Hex(stored) !== bound)
    throw changed(
      bound === undefined ? 'no SHA-256 of it was approved' : 'its SHA-256 is not the one that was approved',
    );
  const checked = captured.safeParse(
    jsonOf(
      key.endsWith('.age')
        ? await decryptText(policy.encryption, key, stored, clusterContext.user)
        : stored.toString('utf8'),
    ),
  );
  if (!checked.success) throw changed('it has an unknown form');
  const found = checked.data;
  const foreign = found.files.find(
    ({ path }) => !files.includes(path) || !isAbsolute(path) || normalize(path) !== path,
  );
  if (foreign !== undefined) throw changed(`it names ${JSON.stringify(foreign.path)}`);
  return found;
}

/** Undefined, which no schema accepts, where it is none. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
