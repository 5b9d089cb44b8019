#!/usr/bin/env bash
# The demo: makes 1,000,000 transactions from a seed, runs the pipeline over them, and half-way drops
# a new generation of the enrichment plugin into the watched folder. `make demo` builds first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/scripts/env.sh"
rows=${ROWS:-1000000}
out=$here/out
input=$out/transactions-$rows.jsonl
export PATH=$root/bin:$PATH
mkdir -p "$out"

if [ ! -f "$input" ]; then
  echo "generating $rows transactions" >&2
  millstream generate transactions --rows "$rows" --seed 1 --out "$input.part"
  mv "$input.part" "$input"
fi

# The new generation, made as a developer makes one: the version raised, built, dropped in.
next=$MILLSTREAM_CACHE/demo-next
mkdir -p "$next"
cp -r "$root/plugins/." "$next/"
sed -i "s#\"\.\./sdk\"#\"$root/sdk\"#; s#^version = \"1\.0\.0\"#version = \"1.1.0\"#" "$next/Cargo.toml"
sed -i '/^name = "\(dual-\|feature-\|terminal-\|simple-\)/{n;s/"1\.0\.0"/"1.1.0"/}' "$next/Cargo.lock"
"$root/scripts/build-plugins.sh" --out "$out/next" "$next"
# Compiled now, as the host would when it finds the file; the second time it comes from its cache.
millstream plugins inspect "$out/next/feature-enrichment.wasm" >/dev/null

# A fresh start: an empty state, and a plugin folder of its own with the first generations.
rm -rf "$out/state" "$out/plugins" "$out/scores.jsonl" "$out/rejected.jsonl"
mkdir -p "$out/plugins"
cp "$root"/bin/plugins/*.wasm "$out/plugins/"

# Half-way is found by the output: its first rows say how long a row is.
swap() {
  local scores=$out/scores.jsonl lines bytes half=
  while [ ! -s "$scores" ]; do sleep 0.01; done
  while [ -z "$half" ]; do
    lines=$(head -n 1000 "$scores" | wc -l)
    bytes=$(head -n 1000 "$scores" | wc -c)
    if [ "$lines" -ge 1000 ] || [ "$rows" -lt 2000 ]; then half=$((bytes * rows / (lines > 0 ? lines : 1) / 2)); fi
  done
  while [ "$(stat -c %s "$scores")" -lt "$half" ]; do sleep 0.01; done
  cp "$out/next/feature-enrichment.wasm" "$out/plugins/.feature-enrichment.tmp"
  mv "$out/plugins/.feature-enrichment.tmp" "$out/plugins/feature-enrichment.wasm"
}
swap & swapper=$!
trap 'kill $swapper 2>/dev/null || true' EXIT

command=(millstream run "$here/pipeline.toml"
  --set "source.transactions.path=$input"
  --set "plugins.folder=$out/plugins")
printf '\n$ %s\n\n' "${command[*]}" >&2
"${command[@]}"
# A swap that is still waiting for its moment when the run is over did not happen.
if kill $swapper 2>/dev/null; then echo "the run ended before the new generation was dropped in" >&2; fi
wait $swapper 2>/dev/null || true

python3 "$here/auc.py" "$out/scores.jsonl"
