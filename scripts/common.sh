# Shared by scripts/demo and scripts/test: what Debian packages provide, and the build.
# shellcheck shell=sh
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

build_packages="g++ cmake ninja-build pkg-config libunwind-dev libboost-stacktrace-dev libdw-dev
  libcli11-dev libfmt-dev nlohmann-json3-dev catch2 libbenchmark-dev"

# install_packages NAME...: those not yet there, with a word about it; sudo when not root.
install_packages() {
  missing=""
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  as_root=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "cannot install$missing: run this as root, or install sudo" >&2
      exit 1
    }
    as_root=sudo
  fi
  echo "installing$missing" >&2
  $as_root apt-get update -qq
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# build PRESET TARGET...: configures and builds.
build() {
  preset=$1
  shift
  cmake --preset "$preset" >"build-$preset.log" 2>&1 || {
    cat "build-$preset.log" >&2
    exit 1
  }
  rm -f "build-$preset.log"
  # shellcheck disable=SC2086
  cmake --build --preset "$preset" ${1:+--target "$@"}
}
