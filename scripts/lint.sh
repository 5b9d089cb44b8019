#!/usr/bin/env bash
# Formatting and lints of the three workspaces: host, plugins, fixtures.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
for manifest in Cargo.toml plugins/Cargo.toml tests/fixtures/guests/Cargo.toml; do
  cargo fmt --manifest-path "$manifest" --all -- --check
done
cargo clippy --release --locked --workspace --all-targets -- -D warnings
for workspace in plugins tests/fixtures/guests; do
  CARGO_TARGET_DIR="$MILLSTREAM_CACHE/target-native" \
    cargo clippy --manifest-path "$workspace/Cargo.toml" --locked --workspace --all-targets -- -D warnings
done
