# shellcheck shell=bash
# Node. The set-up starts with the Node it finds; the project then runs on its own, the npm package `node`, whose
# binary stands first on PATH in npm scripts. Its install script fetches that binary outside the lock file: what came
# is compared with the hashes here before anything runs on it.

node_version=24.21.0
node_sha256_x86_64=7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c
node_sha256_aarch64=0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584
node_binary=node_modules/node/bin/node

check_node() {
  local major minor
  if ! command -v node >/dev/null; then
    printf 'node was not found\nHINT: install Node 20.19 or newer, with npm\n' >&2
    exit 1
  fi
  IFS=. read -r major minor _ < <(node -p process.versions.node)
  if [ "$major" -lt 20 ] || { [ "$major" -eq 20 ] && [ "$minor" -lt 19 ]; }; then
    printf 'node %s.%s is too old\nHINT: install Node 20.19 or newer\n' "$major" "$minor" >&2
    exit 1
  fi
}

# The project's own Node, and nothing else in its place.
own_node() {
  if [ ! -x "$node_binary" ]; then
    # npm was told to run no install scripts.
    say "fetching Node $node_version (its install script was not run)"
    (cd node_modules/node && retry 'the download of Node' node installArchSpecificPackage) >&2 || true
  fi
  if [ "$(own_node_version)" != "v$node_version" ]; then
    lacks "Node $node_version" "rm -rf node_modules && npm ci"
    report_missing
  fi
  # Also for what this set-up starts itself; bash remembers where it found the other one.
  PATH="$PWD/node_modules/.bin:$PATH"
  hash -r
}

own_node_version() {
  local wanted
  wanted="node_sha256_$(uname -m)"
  # Compared once for each binary: a hash of 120 MB takes a second.
  if [ ! "$node_binary.checked" -nt "$node_binary" ]; then
    if ! printf '%s  %s\n' "${!wanted-unknown}" "$node_binary" | sha256sum --check --status; then
      say "$node_binary is not the binary of Node $node_version that this project knows"
      return
    fi
    touch "$node_binary.checked"
  fi
  "$node_binary" --version
}

# Installs again only when the lock file changed, the platform did, or node_modules was removed.
npm_packages() {
  local stamp=node_modules/.reprise-lock wanted
  wanted="$(sha256sum package-lock.json | cut -d' ' -f1) $(node -p 'process.platform + process.arch')"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return 0; fi
  if [ -f node_modules/.package-lock.json ] && npm_matches_lock; then
    printf '%s\n' "$wanted" >"$stamp"
    return 0
  fi
  say 'installing npm packages (npm ci)'
  if ! retry 'npm ci' npm ci --no-progress --loglevel=error >&2; then
    lacks 'npm packages' 'npm ci'
    report_missing
  fi
  printf '%s\n' "$wanted" >"$stamp"
}

# After `npm install` by hand everything is there already; `npm ci` would remove it under a running worker.
npm_matches_lock() {
  node -e '
    const { readFileSync } = require("node:fs");
    const packages = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
    const have = packages("node_modules/.package-lock.json");
    const same = Object.entries(packages("package-lock.json")).every(
      ([path, wanted]) => path === "" || wanted.optional || wanted.peer || have[path]?.integrity === wanted.integrity,
    );
    process.exit(same ? 0 : 1);
  '
}
