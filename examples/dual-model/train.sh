#!/usr/bin/env bash
# Trains fast.onnx again: a logistic regression on the features of the fraud model, whose own model is the
# accurate one here. The same rows, the same code (../fraud-scoring/train.py), no hidden layer.
#
#   train.sh [TRANSACTIONS]     as ../fraud-scoring/train.sh; `make build` comes first
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
MODEL=$here/fast.onnx TRAIN="--hidden= --version fast-1" exec "$here/../fraud-scoring/train.sh" "$@"
