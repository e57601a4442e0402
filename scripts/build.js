// Compiles src/ into dist/ and bundles the workflows and the command line, each only when what it is made of changed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

// Only what runs inside the workflow sandbox: another activity needs no new bundle.
const bundled = ['dist/workflows', 'dist/domain'];

const sources = ['src', 'package-lock.json', 'tsconfig.json', 'scripts/build.js', 'scripts/bundle-workflows.js'];
once('dist/.build-stamp', sources, () => {
  run('node_modules/typescript-7/bin/tsc', '-p', '.', '--incremental', '--tsBuildInfoFile', 'dist/.tsbuildinfo');
  removeLeftovers();
  if (existsSync('dist/main.js')) chmodSync('dist/main.js', 0o755);
});

if (existsSync('dist/workflows/index.js')) {
  once('dist/.bundle-stamp', [...bundled, 'package-lock.json', 'scripts/bundle-workflows.js'], () =>
    run('scripts/bundle-workflows.js'),
  );
}

if (existsSync('dist/command-line.js')) {
  const own = ['package-lock.json', 'scripts/bundle-command-line.js'];
  once('dist/.command-line-stamp', [...filesUnder('dist').filter(isCompiled), ...own], () =>
    run('scripts/bundle-command-line.js'),
  );
}

/** Runs a step unless the stamp says that it ended well on these very files. */
function once(stamp, inputs, step) {
  const wanted = digest(inputs);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  rmSync(stamp, { force: true });
  step();
  writeFileSync(stamp, wanted);
}

function digest(inputs) {
  const hash = createHash('sha256');
  for (const file of inputs.flatMap(filesUnder).sort()) {
    hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

function filesUnder(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** A module of ours, other than a bundle. */
function isCompiled(file) {
  return file.endsWith('.js') && !(dirname(file) === 'dist' && /[.-]bundle\.js$/.test(file));
}

/** A module whose source was removed or renamed must not stay importable. */
function removeLeftovers() {
  for (const file of filesUnder('dist')) {
    const source = join('src', relative('dist', file).replace(/\.js$/, '.ts'));
    if (isCompiled(file) && !existsSync(source)) {
      rmSync(file);
      rmSync(`${file}.map`, { force: true });
    }
  }
}

function run(...argv) {
  try {
    execFileSync(process.execPath, argv, { stdio: ['ignore', 2, 2] });
  } catch (error) {
    // The step has said why already.
    process.exit(error.status ?? 1);
  }
}
