/**
 * The shell script between a worker and a tool: small, needs nothing but coreutils and util-linux, and outlives the
 * worker. It inherits the locks as open files from 3 on, and so does the tool: while either lives, they are held.
 *
 * It runs twice. As `supervise` it waits for the tool and writes the exit record. As `launch`, in a session of its own,
 * it writes the pid record and *then becomes* the tool: there is no instant at which the tool runs unrecorded, whoever
 * is killed when.
 *
 * Arguments: role, directory of the generation, fields of the pid record as JSON, start time of the wrapper (launch),
 * number of locks, their paths, the command. Each record is written beside its place, synced and moved there.
 */
export const WRAPPER_SCRIPT = `#!/bin/sh
set -u
umask 077
role=$1 dir=$2 about=$3 wrapper=$4 locks=$5
shift 5

keep() {
  cat >"$1.tmp" && sync "$1.tmp" && mv -f "$1.tmp" "$1" && sync "\${1%/*}"
}
started_of() {
  IFS= read -r stat <"/proc/$1/stat" || return 1
  set -- \${stat##*) }
  echo "\${20}"
}
now() { date -u +%Y-%m-%dT%H:%M:%S.%3NZ; }

if [ -e "$dir/exit.json" ]; then
  echo "reprise: this generation has ended already" >&2
  exit 77
fi
if [ -e "$dir/pid.json" ]; then
  echo "reprise: this generation was started already" >&2
  exit 77
fi

if [ "$role" = launch ]; then
  started=$(started_of $$) && read -r boot </proc/sys/kernel/random/boot_id && at=$(now) || exit 125
  record="{$about,\\"pid\\":$$,\\"startTime\\":$started,\\"bootId\\":\\"$boot\\",\\"startedAt\\":\\"$at\\",\\"wrapper\\":$wrapper}"
  printf '%s\\n' "$record" | keep "$dir/pid.json" || exit 125
  while [ "$locks" -gt 0 ]; do
    printf '%s\\n' "$record" >"$1@$$"
    shift
    locks=$((locks - 1))
  done
  exec "$@"
fi

tool=
interrupted=
pass_on() {
  interrupted=yes
  # The session's group, or the process itself in the instant before it leads one.
  [ -z "\${!:-}" ] || kill -TERM -- "-$!" 2>/dev/null || kill -TERM "$!" 2>/dev/null
}
trap pass_on TERM INT HUP
wrapper="{\\"pid\\":$$,\\"startTime\\":$(started_of $$)}"
setsid sh "$0" launch "$dir" "$about" "$wrapper" "$locks" "$@" &
tool=$!

code=
while :; do
  interrupted=
  wait "$tool"
  answer=$?
  # A wait that a signal cut short says 128 + n; asked once more after the true answer, wait says 127.
  if [ "$answer" -ne 127 ] || [ -z "$code" ]; then code=$answer; fi
  [ -n "$interrupted" ] || break
done

if [ ! -e "$dir/pid.json" ]; then
  echo "reprise: the tool was not started, its record could not be written ($code)" >&2
  exit 70
fi
# A full disk may get room again; without this record the tool's work would be done anew.
tries=0
until printf '{"code":%s,"finishedAt":"%s"}\\n' "$code" "$(now)" | keep "$dir/exit.json"; do
  tries=$((tries + 1))
  [ "$tries" -lt 600 ] || break
  sleep 1
done

fd=3
while [ "$locks" -gt 0 ]; do
  rm -f "$1@$tool"
  # Unlocked for all who inherited it: a daemon that the tool left behind holds nothing.
  flock --unlock "$fd"
  shift
  fd=$((fd + 1))
  locks=$((locks - 1))
done
`;
