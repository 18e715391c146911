#!/bin/sh
# Finds a PostgreSQL server, version 15 or newer, and prints the directory of its programs. If there
# is none, it is installed with the system's package manager, after saying so.
#
#   deploy/install-postgres.sh          find or install
#   deploy/install-postgres.sh --find   only find; exit code 1 if there is none
#
# Only the programs are wanted: no system service is enabled or started, no cluster is created.
# Nothing but the directory goes to standard output. CREDITGATE_PG_BINDIR names the directory
# instead of a search.
set -eu

oldest=15

say() { echo "install-postgres: $*" >&2; }

# The major version of the server in a directory; nothing if it cannot be used.
major() {
  [ -x "$1/postgres" ] && [ -x "$1/initdb" ] && [ -x "$1/pg_ctl" ] && [ -x "$1/psql" ] || return 0
  "$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p'
}

usable() {
  version=$(major "$1")
  [ -n "$version" ] && [ "$version" -ge "$oldest" ]
}

# Prints the first usable directory: the same places, in the same order, as `creditgate dev`.
find_bindir() {
  if [ -n "${CREDITGATE_PG_BINDIR:-}" ]; then
    usable "$CREDITGATE_PG_BINDIR" && echo "$CREDITGATE_PG_BINDIR"
    return
  fi
  found=$(pg_config --bindir 2>/dev/null || true)
  if [ -n "$found" ] && usable "$found"; then
    echo "$found"
    return
  fi
  found=$(command -v postgres 2>/dev/null || true)
  if [ -n "$found" ] && usable "$(dirname "$found")"; then
    dirname "$found"
    return
  fi
  for pattern in \
    "/usr/lib/postgresql/%/bin" "/usr/pgsql-%/bin" "/usr/libexec/postgresql%" \
    "/opt/homebrew/opt/postgresql@%/bin" "/usr/local/opt/postgresql@%/bin" \
    "/home/linuxbrew/.linuxbrew/opt/postgresql@%/bin"; do
    # Newest first, by number: as text, 9 would come before 15.
    candidate=40
    while [ "$candidate" -ge "$oldest" ]; do
      dir=$(echo "$pattern" | sed "s/%/$candidate/")
      if usable "$dir"; then
        echo "$dir"
        return
      fi
      candidate=$((candidate - 1))
    done
  done
  dir=/Applications/Postgres.app/Contents/Versions/latest/bin
  usable "$dir" && echo "$dir"
}

# Runs a command as root, and shows it.
as_root() {
  say "running: $*"
  if [ "$(id -u)" -eq 0 ]; then
    "$@" >&2
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@" >&2
  else
    say "this needs root, and there is no sudo: run it as root"
    exit 1
  fi
}

# Debian's packages create a cluster and start it, unless this file says otherwise. An existing one
# is the administrator's business: it stays as it is.
prevent_debian_cluster() {
  [ -e /etc/postgresql-common/createcluster.conf ] && return
  as_root mkdir -p /etc/postgresql-common
  as_root sh -c 'echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf'
}

# The major version that apt would install.
apt_candidate() {
  apt-cache policy postgresql 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*\).*/\1/p'
}

install_with_apt() {
  as_root apt-get update
  prevent_debian_cluster
  candidate=$(apt_candidate)
  if [ "${candidate:-0}" -lt "$oldest" ]; then
    say "this release has no PostgreSQL $oldest: adding the repository of postgresql.org"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      postgresql-common ca-certificates
    as_root /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
    candidate=$(apt_candidate)
  fi
  # --force-confold: the configuration file that was put there first is to stay.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o Dpkg::Options::=--force-confold "postgresql-$candidate"
}

install_it() {
  say "no PostgreSQL $oldest or newer was found on this machine; installing one"
  if command -v brew >/dev/null 2>&1 && [ "$(uname)" = Darwin ]; then
    say "running: brew install postgresql@17"
    brew install postgresql@17 >&2
  elif command -v apt-get >/dev/null 2>&1; then
    install_with_apt
  elif command -v dnf >/dev/null 2>&1; then
    # On RHEL 8 and 9 newer versions are modules; elsewhere there is no such module, nor a need.
    as_root dnf -y module enable postgresql:16 || true
    as_root dnf install -y postgresql-server
  elif command -v apk >/dev/null 2>&1; then
    as_root apk add --no-cache postgresql postgresql-client
  elif command -v pacman >/dev/null 2>&1; then
    as_root pacman -S --needed --noconfirm postgresql
  elif command -v zypper >/dev/null 2>&1; then
    as_root zypper --non-interactive install postgresql-server
  elif command -v brew >/dev/null 2>&1; then
    say "running: brew install postgresql@17"
    brew install postgresql@17 >&2
  else
    say "no package manager that this script knows; install PostgreSQL $oldest or newer by hand,"
    say "and if it is in an unusual place: export CREDITGATE_PG_BINDIR=/path/to/its/bin"
    exit 1
  fi
}

case ${1:-} in
  '') ;;
  --find)
    find_bindir || exit 1
    exit 0
    ;;
  *)
    echo "usage: deploy/install-postgres.sh [--find]" >&2
    exit 2
    ;;
esac

if find_bindir; then
  exit 0
fi
if [ -n "${CREDITGATE_PG_BINDIR:-}" ]; then
  say "CREDITGATE_PG_BINDIR=$CREDITGATE_PG_BINDIR holds no usable PostgreSQL $oldest or newer"
  exit 1
fi
install_it
if ! find_bindir; then
  say "the installation went through, but no PostgreSQL $oldest or newer is to be found"
  exit 1
fi
