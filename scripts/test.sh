#!/usr/bin/env bash
# Every test: the host's workspace, then the plugins' own. Called by `make test`, which builds first.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
export MILLSTREAM_FIXTURES=$root/bin/fixtures MILLSTREAM_PLUGINS=$root/bin/plugins
export INSTA_UPDATE=no
# Tests that could not run here append a line each; they are named again at the end, also of a run
# that failed.
export MILLSTREAM_SKIPPED=$(mktemp)
report() {
  [ ! -s "$MILLSTREAM_SKIPPED" ] || { echo "test: $(wc -l < "$MILLSTREAM_SKIPPED") skipped:" >&2; cat "$MILLSTREAM_SKIPPED" >&2; }
  rm -f "$MILLSTREAM_SKIPPED"
}
trap report EXIT
cargo test --release --locked --workspace
# The plugins' release profile links with full LTO, which a native test has no use for.
CARGO_TARGET_DIR="$MILLSTREAM_CACHE/target-native" cargo test --manifest-path plugins/Cargo.toml --locked --workspace
