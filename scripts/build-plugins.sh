#!/usr/bin/env bash
# Builds plugin crates to WebAssembly components (wasm32-wasip2, release).
#
#   build-plugins.sh [--out FOLDER] [WORKSPACE…]
#
# WORKSPACE is a folder with a Cargo.toml (default: plugins/); every cdylib in it ends up as
# FOLDER/<crate-name>.wasm, FOLDER being bin/plugins unless said otherwise. A file is replaced only
# when its bytes changed, and in one step (a running host watches the folder).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}
out=$root/bin/plugins
workspaces=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) [ $# -ge 2 ] || { echo "build-plugins: --out needs a folder" >&2; exit 2; }; out=$2; shift 2 ;;
    -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "build-plugins: unknown option $1 (known: --out FOLDER)" >&2; exit 2 ;;
    *) workspaces+=("$1"); shift ;;
  esac
done
[ ${#workspaces[@]} -gt 0 ] || workspaces=("$root/plugins")

tools=$("$root/scripts/setup-wasm-toolchain.sh")
{ read -r cargo; read -r rustc; } <<< "$tools"
mkdir -p "$out"
for workspace in "${workspaces[@]}"; do
  [ -f "$workspace/Cargo.toml" ] || { echo "build-plugins: $workspace has no Cargo.toml" >&2; exit 1; }
  # SIMD is part of every wasmtime that Millstream supports. The messages name exactly the files
  # that this workspace makes, fresh or not.
  messages=$(RUSTC="$rustc" RUSTFLAGS="-C target-feature=+simd128" CARGO_TARGET_DIR="$cache/target-plugins" \
    "$cargo" build --manifest-path "$workspace/Cargo.toml" --workspace --release --target wasm32-wasip2 --locked --quiet \
    --message-format=json-render-diagnostics)
  while read -r file; do
    [ -n "$file" ] || continue
    name=$(basename "$file")
    name=${name//_/-}
    if ! cmp -s "$file" "$out/$name"; then
      cp "$file" "$out/.$name.new"
      mv "$out/.$name.new" "$out/$name"
      echo "built $name ($(( $(wc -c < "$out/$name") / 1024 )) KiB)" >&2
    fi
  done <<< "$(grep -o '"[^"]*\.wasm"' <<< "$messages" | tr -d '"' | sort -u)"
done
