/** How fast a command that needs no server starts: CPU of the process, as the median of several runs. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './lab.mjs';

const mainFile = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const RUNS = 9;

export async function start(say) {
  const directory = await mkdtemp(join(tmpdir(), 'reprise-start-'));
  try {
    const config = join(directory, 'reprise.yml');
    await writeFile(
      config,
      'version: 1\nclusters: { mairie: { connection: { user: reprise }, databases: [mairie] } }\n',
    );
    const measured = (what, limit, ...argv) => {
      say(what);
      const values = Array.from({ length: RUNS }, () => cpuSeconds(argv));
      return { name: `CPU of \`${what}\``, unit: 'ms', value: 1000 * median(values), limit };
    };
    const where = ['--config', config, '--address', '127.0.0.1:1'];
    return [
      measured('config check', 350, 'config', 'check', ...where),
      measured('version', 350, 'version'),
      measured('--help', 350, '--help'),
      measured('complete -- recover', 200, 'complete', '--', ...where, 'recover', ''),
      measured('complete -- approve', 200, 'complete', '--', ...where, 'approve', ''),
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Seconds of CPU of one command, as the shell counts them. */
function cpuSeconds(argv) {
  const script = 'TIMEFORMAT="%U %S"; time "$@" >/dev/null 2>&1';
  const { stderr } = spawnSync('bash', ['-c', script, 'bash', process.execPath, mainFile, ...argv], {
    encoding: 'utf8',
  });
  const [user = NaN, system = NaN] = stderr.trim().split(' ').map(Number);
  return user + system;
}
