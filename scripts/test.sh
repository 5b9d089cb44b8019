#!/usr/bin/env bash
# Every test: the host's workspace, then the plugins' own. Called by `make test`, which builds first.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
export MILLSTREAM_FIXTURES=$root/bin/fixtures MILLSTREAM_PLUGINS=$root/bin/plugins
export INSTA_UPDATE=no
# Tests on real data that is not part of the repository say so when it is absent.
if [ -z "${MILLSTREAM_TEST_DATA:-}" ] && [ -f "$root/../shared/data/transactions.jsonl.gz" ]; then
  export MILLSTREAM_TEST_DATA=$root/../shared/data
fi
cargo test --release --locked --workspace
# The plugins' release profile links with full LTO, which a native test has no use for.
CARGO_TARGET_DIR="$MILLSTREAM_CACHE/target-native" cargo test --manifest-path plugins/Cargo.toml --locked --workspace
