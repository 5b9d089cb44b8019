#!/usr/bin/env bash
# The external model from nothing: installs MLServer (once), generates transactions, starts the server, runs
# the pipeline, and shows what came out. `make external-model` builds first.
#
#   ROWS=20000 demo.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/scripts/env.sh"
export PATH=$root/bin:$PATH
rows=${ROWS:-20000}
out=$here/out
input=$out/transactions-$rows.jsonl

if [ -z "${MODEL_URL:-}" ]; then
  mkdir -p "$out"
  exec "$here/server/with-server.sh" "$out/server.log" "$0"
fi
[ -f "$input" ] || millstream generate transactions --rows "$rows" --seed 1 --out "$input"
rm -rf "$out/state" "$out/scores.jsonl" "$out/rejected.jsonl"
command=(millstream run "$here/pipeline.toml"
  --set "source.transactions.path=$input"
  --set "operator.score.endpoint.urls=[\"$MODEL_URL\"]")
printf '\n$ %s\n\n' "${command[*]}" >&2
"${command[@]}"
python3 "$here/summary.py" "$out/scores.jsonl"
