# shellcheck shell=bash
# Node itself is the one thing the set-up expects to find.

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
