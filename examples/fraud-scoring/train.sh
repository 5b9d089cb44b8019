#!/usr/bin/env bash
# Trains model.onnx again: the pipeline itself makes the features (so training and serving share one
# definition), train.py learns from the first two thirds of the period and measures on the last.
# `make model` builds first. numpy and onnx go into a private virtual environment in the user's cache.
#
#   train.sh [TRANSACTIONS]     JSON lines, .gz or not; without it 1,000,000 are generated (seed 7)
#   MODEL=FILE TRAIN="--hidden= --version 2" train.sh    another file, and further arguments of train.py
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/scripts/env.sh"
out=$here/out
input=${1:-$out/train-transactions.jsonl}
export PATH=$root/bin:$PATH
mkdir -p "$out"

venv=$MILLSTREAM_CACHE/train-venv
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  echo "installing numpy and onnx into $venv" >&2
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/"
fi

# Another seed than the demo's: the demo scores what the model has not seen.
[ -f "$input" ] || millstream generate transactions --rows 1000000 --seed 7 --out "$input"
rm -rf "$out/train-state"
millstream run "$here/pipeline.toml" \
  --set "source.transactions.path=$input" --set "state.path=$out/train-state" \
  --set 'sink.scores.inputs=["feature-vector"]' --set 'sink.scores.fields=["timestamp", "fraud", "features"]' \
  --set "sink.scores.path=$out/train-features.jsonl"
"$venv/bin/python" "$here/train.py" "$out/train-features.jsonl" --output "${MODEL:-$here/model.onnx}" ${TRAIN:-}
