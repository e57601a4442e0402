# shellcheck shell=bash
# What the steps of the set-up share: plain lines, turns, retries, root, and the list of what is missing.

cache="${REPRISE_CACHE:-$HOME/.cache/reprise}"
# Programs that other users run too: root's home is closed to the user postgres, who runs the worker.
tools_cache="${REPRISE_TOOLS_CACHE:-$([ "$(id -u)" -eq 0 ] && printf /var/cache/reprise || printf '%s' "$cache")}"
missing=()

# Results belong to stdout; what the set-up says is progress.
say() { printf 'setup: %s\n' "$*" >&2; }

# Two set-ups at once (a demo beside the tests) must not unpack over each other.
take_turns() {
  mkdir -p "$cache" "$tools_cache"
  # Whatever umask root has.
  chmod 0755 "$tools_cache"
  exec 9>"$cache/setup.lock"
  if ! flock --nonblock 9; then
    say 'another set-up is running, waiting for it'
    flock 9
  fi
}

end_turn() { exec 9>&-; }

# lacks WHAT COMMAND: remembers what could not be had, and the command that would get it.
lacks() { missing+=("$1 -> $2"); }

report_missing() {
  [ "${#missing[@]}" -gt 0 ] || return 0
  printf 'setup: these could not be had:\n' >&2
  printf '  %s\n' "${missing[@]}" >&2
  printf 'HINT: run the commands above, then npm run setup again\n' >&2
  exit 1
}

# retry WHAT COMMAND...: registries fail in passing, so three tries, further apart each time.
retry() {
  local what=$1 try
  shift
  for try in 1 2 3; do
    # 9 is the lock: nothing we start may keep it after us.
    if "$@" 9>&-; then return 0; fi
    if [ "$try" -lt 3 ]; then
      say "$what failed, trying again in $((try * 3)) s"
      sleep $((try * 3))
    fi
  done
  return 1
}

# Runs a command as root. Without a terminal sudo must not stop to ask for a password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# Asked once before the first such command: three tries do not turn a user into root.
may_become_root() {
  [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && as_root true; }
}
