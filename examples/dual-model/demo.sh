#!/usr/bin/env bash
# The dual model from nothing: installs MLServer (once), generates transactions, starts the server, runs the
# pipeline, and shows how far the fast model may be trusted. `make dual-model` builds first.
#
#   ROWS=50000 demo.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/scripts/env.sh"
export PATH=$root/bin:$PATH
rows=${ROWS:-50000}
out=$here/out
input=$out/transactions-$rows.jsonl

if [ -z "${MODEL_URL:-}" ]; then
  mkdir -p "$out"
  exec "$here/../external-model/server/with-server.sh" "$out/server.log" "$0"
fi
[ -f "$input" ] || millstream generate transactions --rows "$rows" --seed 1 --out "$input"
rm -rf "$out/state" "$out/scores.jsonl" "$out/divergences.jsonl" "$out/rejected.jsonl"
command=(millstream run "$here/pipeline.toml"
  --set "source.transactions.path=$input"
  --set "operator.accurate.endpoint.urls=[\"$MODEL_URL\"]")
printf '\n$ %s\n\n' "${command[*]}" >&2
"${command[@]}"
python3 "$here/summary.py" "$out/scores.jsonl" "$out/divergences.jsonl"
