import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { MeasuredRestore } from '../domain/plan/predict-duration.js';
import { safeFileName } from '../files/safe-names.js';
import { jsonFilesIn, readJson, replaceJson } from './state-files.js';

/** Kept for each engine; older ones are not asked for any more. */
const MOST_KEPT = 40;

const measuredFile = z.looseObject({
  id: z.string(),
  engine: z.string(),
  method: z.enum(['restart', 'data-directory', 'databases']),
  at: z.string(),
  sizeBytes: z.number(),
  walBytes: z.number().nullable(),
  restoreSeconds: z.number(),
  replaySeconds: z.number(),
  otherSeconds: z.number().nullable(),
});

/** How long restores took on this host, whatever they were for, in `<state_dir>/measured/ENGINE/`. */
export interface MeasuredRestores {
  /** Keeps one; what is kept of it already is replaced. */
  add(measured: MeasuredRestore): Promise<void>;
  /** Of one engine, oldest first. What cannot be read is left out: it only makes a prediction. */
  list(engine: string): Promise<readonly MeasuredRestore[]>;
}

export function openMeasuredRestores(stateDir: string): MeasuredRestores {
  const folderOf = (engine: string) => join(stateDir, 'measured', safeFileName(engine));
  const list = async (engine: string): Promise<readonly MeasuredRestore[]> => {
    const folder = folderOf(engine);
    const names = await jsonFilesIn(folder);
    const found = await Promise.all(names.map((name) => readJson(join(folder, name)).catch(() => null)));
    return found
      .flatMap((value) => {
        const parsed = measuredFile.safeParse(value);
        return parsed.success ? [parsed.data as MeasuredRestore] : [];
      })
      .sort((left, right) => (left.at < right.at ? -1 : 1));
  };
  return {
    list,
    async add(measured) {
      const fileOf = ({ id }: Pick<MeasuredRestore, 'id'>) =>
        join(folderOf(measured.engine), `${safeFileName(id.replaceAll('/', '_'))}.json`);
      await replaceJson(fileOf(measured), measured);
      for (const old of (await list(measured.engine)).slice(0, -MOST_KEPT)) await rm(fileOf(old), { force: true });
    },
  };
}
