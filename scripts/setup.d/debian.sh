# shellcheck shell=bash
# Debian packages: PostgreSQL's server and tools, and pgBackRest.

# Each line: the package, then what shows that it is there (a program, or a path with a pattern).
debian_needs=(
  "postgresql-15 /usr/lib/postgresql/1[5-9]/bin/postgres"
  "pgbackrest pgbackrest"
  "ca-certificates /etc/ssl/certs/ca-certificates.crt"
)
# Only the tests need these; age, who encrypts backups: doctor names the command where a policy wants it.
debian_test_needs=(
  "age age"
  "chromium chromium"
  "postgresql-15-pgaudit /usr/lib/postgresql/1[5-9]/lib/pgaudit.so"
  "postgresql-15-cron /usr/lib/postgresql/1[5-9]/lib/pg_cron.so"
  "pgbouncer /usr/sbin/pgbouncer"
  "zsh zsh"
  "fish fish"
  "xfsprogs /usr/sbin/mkfs.xfs"
  "btrfs-progs /usr/sbin/mkfs.btrfs"
)

debian_packages() {
  local need wanted=() needs=("${debian_needs[@]}")
  if [ "$1" = yes ]; then needs+=("${debian_test_needs[@]}"); fi
  for need in "${needs[@]}"; do
    have "${need#* }" || wanted+=("${need%% *}")
  done
  [ "${#wanted[@]}" -gt 0 ] || return 0
  apt_install "${wanted[@]}" && return 0
  lacks "Debian packages ${wanted[*]}" "apt-get install ${wanted[*]} (as root)"
}

have() {
  case "$1" in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

apt_install() {
  command -v apt-get >/dev/null || return 1
  say "installing Debian packages: $*"
  if ! may_become_root; then
    say 'this needs root, or sudo without a password'
    return 1
  fi
  refresh_apt || return 1
  local install=(apt_get install "$@")
  case " $* " in *' postgresql-15 '*) install=(without_main_cluster "${install[@]}") ;; esac
  case " $* " in *' pgbouncer '*) install=(without_services "${install[@]}") ;; esac
  "${install[@]}"
}

# Once per run: the lists of a fresh machine are empty, those of an old one name versions that are gone.
apt_is_fresh=no
refresh_apt() {
  [ "$apt_is_fresh" = no ] || return 0
  apt_get update || return 1
  apt_is_fresh=yes
}

# What apt says is of interest only when it fails.
apt_get() {
  local log="$cache/apt.log"
  if retry "apt-get $1" logged "$log" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"; then
    return 0
  fi
  tail -n 20 "$log" >&2
  return 1
}

logged() {
  local log=$1
  shift
  "$@" >"$log" 2>&1
}

# Debian makes and starts a cluster when a server is installed. Nobody asked us for one, and it would take
# port 5432. Where PostgreSQL was there before, its settings are its owner's and stay as they are.
without_main_cluster() {
  local settings=/etc/postgresql-common/createcluster.conf status=0
  if have '/usr/lib/postgresql/*/bin/postgres' || have '/etc/postgresql/*/*'; then
    "$@"
    return
  fi
  apt_get install postgresql-common || return 1
  as_root cp -p "$settings" "$settings.reprise" || return 1
  as_root sed -ri 's/^#?\s*create_main_cluster\s*=.*/create_main_cluster = false/' "$settings"
  "$@" || status=$?
  # Put back: whoever installs another version later expects Debian's own ways.
  as_root mv -f "$settings.reprise" "$settings"
  return "$status"
}

# Debian starts a service when it is installed. The tests start their own, and nobody asked for another one.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 0755 "$policy" || return 1
  "$@" || status=$?
  as_root rm -f "$policy"
  return "$status"
}
