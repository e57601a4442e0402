import { join } from 'node:path';
import { toolsDirectory } from '../../src/process/exec/find-programs.js';

/** Programs that `scripts/setup --test` put there, by name; the versions stand in scripts/setup.d/test-tools.sh too. */
export const testTools = {
  versitygw: () => join(toolsDirectory(), 'versitygw-1.8.0', 'versitygw'),
  minio: () => join(toolsDirectory(), 'minio-2026-02-12', 'minio'),
  toxiproxy: () => join(toolsDirectory(), 'toxiproxy-2.5.0', 'toxiproxy-server'),
  walg: () => join(toolsDirectory(), 'wal-g-0.2.19', 'wal-g'),
  /** Folder for PYTHONPATH. */
  moto: () => join(toolsDirectory(), 'moto-5.2.5'),
};
