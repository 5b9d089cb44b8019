#!/usr/bin/env bash
# Everything that a fresh machine lacks, installed once; says what and why. Later runs take a
# fraction of a second.
#
# Needs: Rust 1.95 or newer by rustup, Python 3 with venv and pip.
# Installs system-wide (Debian packages, by apt): a C++ compiler, libclang and pkg-config.
# Installs for this user only (in ${XDG_CACHE_HOME:-~/.cache}/millstream): RocksDB's library, the
# ONNX Runtime library, a toolchain for plugins, build output.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
say() { echo "setup: $*" >&2; }

command -v cargo >/dev/null || { say "cargo is missing; install Rust from rustup.rs first"; exit 1; }
command -v python3 >/dev/null || { say "python3 is missing; install it (Debian: apt-get install python3 python3-venv)"; exit 1; }

# libclang: bindgen reads RocksDB's C header. g++ and make: RocksDB, librdkafka, zstd, lz4 and
# mimalloc are C and C++. OpenSSL and zlib: librdkafka speaks TLS, SASL and gzip through them.
if command -v dpkg-query >/dev/null; then
  missing=()
  for package in g++ make libclang-dev libssl-dev pkg-config zlib1g-dev; do
    [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)" = "install ok installed" ] || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]} (compilers, libclang, OpenSSL and zlib, to build RocksDB and librdkafka)"
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
fi

"$root/scripts/setup-rocksdb.sh" >/dev/null
"$root/scripts/setup-onnxruntime.sh"
"$root/scripts/setup-wasm-toolchain.sh" >/dev/null
