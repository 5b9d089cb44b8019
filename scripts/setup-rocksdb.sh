#!/usr/bin/env bash
# Builds RocksDB's static library once into the per-user cache (about 13 minutes of two cores).
# Without this step cargo would compile the same sources itself, and again whenever a feature of any
# crate below RocksDB changes; with it the library is linked as it stands.
# Idempotent: the folder is named by the version in Cargo.lock. Prints the folder.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}
lock_version() { awk -v n="name = \"$1\"" '$0 == n { getline; gsub(/version = |"/, ""); print; exit }' "$root/Cargo.lock"; }
sys=$(lock_version librocksdb-sys)
[ -n "$sys" ] || { echo "setup-rocksdb: Cargo.lock names no librocksdb-sys" >&2; exit 1; }
out=$cache/rocksdb-$sys
if [ ! -f "$out/.done" ]; then
  echo "building RocksDB ($sys) once into $out" >&2
  rm -rf "$out"; mkdir -p "$out/build/src"
  : > "$out/build/src/lib.rs"
  cat > "$out/build/Cargo.toml" <<T
[package]
name = "rocksdb-prebuild"
version = "0.0.0"
edition = "2024"
[dependencies]
librocksdb-sys = { version = "=$sys", default-features = false, features = ["static", "lz4", "zstd", "bindgen-runtime"] }
[workspace]
T
  # The same lock as the host's, so that lz4 and zstd headers are those that it links.
  cp "$root/Cargo.lock" "$out/build/Cargo.lock"
  ( cd "$out/build" && env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC -u ROCKSDB_INCLUDE_DIR \
      CARGO_TARGET_DIR="$out/build/target" CARGO_PROFILE_RELEASE_DEBUG=0 cargo build --release --quiet >&2 )
  lib=$(find "$out/build/target/release/build" -name librocksdb.a | head -n 1)
  source=$(dirname "$(cd "$out/build" && cargo metadata --format-version 1 \
      | grep -o '"manifest_path":"[^"]*librocksdb-sys-[^"]*Cargo.toml"' | head -n 1 | cut -d'"' -f4)")
  cp "$lib" "$out/librocksdb.a"
  cp -r "$source/rocksdb/include" "$out/include"
  rm -rf "$out/build"
  touch "$out/.done"
fi
echo "$out"
