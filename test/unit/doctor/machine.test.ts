import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import type { HostConfig } from '../../../src/domain/config.js';
import { machineFindings } from '../../../src/doctor/machine.js';
import { TEMPORAL_VERSION } from '../../../src/process/exec/find-programs.js';
import { tempDir } from '../../helpers/temp.js';

const saved = { ...process.env };
let tools: string;

beforeEach(async () => {
  tools = await tempDir('tools');
  process.env['REPRISE_TOOLS_CACHE'] = tools;
  process.env['REPRISE_CACHE'] = join(tools, 'home');
  process.env['PATH'] = '';
  for (const name of ['REPRISE_TEMPORAL_BIN', 'TEMPORAL_ADDRESS']) delete process.env[name];
});

afterEach(() => {
  process.env = { ...saved };
});

/** What doctor says of Temporal's command line, with these lines under `temporal:`. */
async function temporalFinding(temporal = '{}') {
  const minimal = await readFile(join(import.meta.dirname, '../../../examples/minimal.yml'), 'utf8');
  const { config } = parseConfig(
    minimal.replace('version: 1\n', `version: 1\ntemporal: ${temporal}\n`),
    join(tools, 'reprise.yml'),
  );
  const findings = await machineFindings(config, Object.values(config.hosts)[0] as HostConfig);
  return findings.find(({ check }) => check === 'temporal-cli') ?? null;
}

it("doctor looks for Temporal's command line where `reprise up` does", async () => {
  expect(await temporalFinding()).toEqual({
    check: 'temporal-cli',
    level: 'warning',
    message: 'the Temporal command line was not found: `reprise up` needs it',
    fix: expect.stringContaining('npm run setup'),
  });
  // Nothing is missing where the server runs elsewhere.
  expect(await temporalFinding('{ address: "temporal.example.org:7233" }')).toBeNull();

  const program = join(tools, `temporal-${TEMPORAL_VERSION}`);
  await mkdir(program);
  await writeFile(join(program, 'temporal'), '', { mode: 0o755 });
  expect(await temporalFinding()).toMatchObject({ level: 'ok', message: expect.stringContaining(program) });
});
