#!/usr/bin/env python3
"""Trains the fraud model on features that the pipeline itself produced.

    train.py ROWS.jsonl --output model.onnx

ROWS are JSON lines (or .gz) with `timestamp`, `features` (the vector of the plugin feature-vector) and
`fraud` (0 or 1), as the pipeline writes them with a file sink. The earlier part of the period trains,
the later part only measures. `--measure ROWS.jsonl` measures a model that is there instead.

The network is 15 -> 32 -> 16 -> 1; `--hidden` gives it other layers, or none: a logistic regression. Fraud
is rare, so every batch holds a fixed share of it; the last bias is then corrected for that share, and
the score is a probability. Same rows, same seed, same model: everything runs on one thread.
"""

import argparse
import gzip
import json
import os
import sys
from datetime import datetime, timezone

# Before numpy: sums in a fixed order, whatever the machine.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from onnx import TensorProto, checker, helper, load, numpy_helper, save

from features import NAMES

HIDDEN = "32,16"
BATCH = 1024
# Share of fraud in a batch.
SHARE = 0.125
WEIGHT_DECAY = 1e-3
LEARNING_RATE = 2e-3


def read(path):
    """Features, labels and times of a file, in time order."""
    features, labels, times = [], [], []
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            try:
                features.append(np.asarray(row["features"], np.float32))
                labels.append(row["fraud"])
                times.append(row["timestamp"])
            except KeyError as missing:
                sys.exit(f"{path}:{number}: the row has no {missing}; the sink must keep it")
            if features[-1].shape != (len(NAMES),):
                sys.exit(f"{path}:{number}: {features[-1].size} features; there are {len(NAMES)}: {', '.join(NAMES)}")
    if not labels:
        sys.exit(f"{path}: no rows")
    times = np.asarray(times, np.int64)
    order = np.argsort(times, kind="stable")
    return np.stack(features)[order], np.asarray(labels, np.int64)[order], times[order]


def auc(labels, scores):
    """Area under the ROC curve: how often a fraud scores above a transaction that is none."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    _, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        sys.exit("the measured period holds only one class; it needs both for an AUC")
    return (ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def forward(layers, x):
    """Activations of every layer; the last is the logit."""
    activations = [x]
    for at, (weights, bias) in enumerate(layers):
        x = x @ weights + bias
        if at + 1 < len(layers):
            x = np.maximum(x, 0)
        activations.append(x)
    return activations


def predict(layers, x):
    return np.concatenate([sigmoid(forward(layers, part)[-1])[:, 0] for part in np.array_split(x, len(x) // 65536 + 1)])


def train(x, y, hidden, steps, seed):
    """Layers of (weights, bias), trained with Adam."""
    random = np.random.default_rng(seed)
    mean, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64) + 1e-6
    x = ((x - mean) / scale).astype(np.float32)
    sizes = (x.shape[1], *hidden, 1)
    layers = [
        [random.normal(0, (2 / a) ** 0.5, (a, b)).astype(np.float32), np.zeros(b, np.float32)]
        for a, b in zip(sizes, sizes[1:])
    ]
    moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in layer] for layer in layers]
    fraud, plain = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    frauds = int(BATCH * SHARE)
    target = np.zeros((BATCH, 1), np.float32)
    target[:frauds] = 1
    for step in range(1, steps + 1):
        rows = np.concatenate([random.choice(fraud, frauds), random.choice(plain, BATCH - frauds)])
        activations = forward(layers, x[rows])
        gradient = (sigmoid(activations[-1]) - target) / BATCH
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        for at in reversed(range(len(layers))):
            weights, _ = layers[at]
            gradients = activations[at].T @ gradient, gradient.sum(0)
            if at:
                gradient = (gradient @ weights.T) * (activations[at] > 0)
            for p, g in enumerate(gradients):
                first, second = moments[at][p]
                first += 0.1 * (g - first)
                second += 0.001 * (g * g - second)
                update = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
                decay = WEIGHT_DECAY * layers[at][p] if p == 0 else 0
                layers[at][p] -= (rate * (update + decay)).astype(np.float32)
    # The standardisation becomes part of the first layer, the true share of fraud part of the last.
    weights, bias = layers[0]
    layers[0] = [(weights / scale[:, None]).astype(np.float32), (bias - (mean / scale) @ weights).astype(np.float32)]
    true = len(fraud) / len(y)
    layers[-1][1] += np.float32(np.log(true / (1 - true)) - np.log(SHARE / (1 - SHARE)))
    return layers


def export(layers, metadata, path):
    """Writes the network as ONNX: f32[batch, 15] to f32[batch, 1]."""
    nodes, constants, previous = [], [], "features"
    for at, (weights, bias) in enumerate(layers):
        constants += [numpy_helper.from_array(weights, f"weights{at}"), numpy_helper.from_array(bias, f"bias{at}")]
        last = at + 1 == len(layers)
        nodes.append(helper.make_node("Gemm", [previous, f"weights{at}", f"bias{at}"], [f"sum{at}"]))
        previous = "score" if last else f"hidden{at}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"sum{at}"], [previous]))
    graph = helper.make_graph(
        nodes,
        "fraud",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", len(NAMES)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="fraud-scoring/train.py")
    # What ONNX Runtime has read since 1.12.
    model.ir_version = 8
    helper.set_model_props(model, metadata)
    checker.check_model(model, full_check=True)
    save(model, path)


def read_model(path):
    """The layers of a model that `export` wrote."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in load(path).graph.initializer}
    return [(tensors[f"weights{at}"], tensors[f"bias{at}"]) for at in range(len(tensors) // 2)]


def day(ms):
    return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%d")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", help="JSON lines with timestamp, features and fraud, or .gz")
    parser.add_argument("--output", default="model.onnx", help="where the model goes (default: %(default)s)")
    parser.add_argument("--measure", metavar="MODEL", help="measure this model on the later part instead of training")
    parser.add_argument("--train-share", type=float, default=2 / 3, help="earlier part of the period that trains")
    parser.add_argument("--hidden", default=HIDDEN, help="sizes of the hidden layers (default: %(default)s)")
    parser.add_argument("--version", default="1", help="model.version in the file (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4000, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    x, y, times = read(arguments.rows)
    cut = times[0] + int((times[-1] - times[0]) * arguments.train_share)
    earlier, later = times < cut, times >= cut
    if arguments.measure:
        layers = read_model(arguments.measure)
    else:
        if not 0 < y[earlier].sum() < earlier.sum():
            sys.exit(f"{arguments.rows}: the training period holds only one class; it needs both")
        hidden = [int(size) for size in arguments.hidden.split(",") if size]
        layers = train(x[earlier], y[earlier], hidden, arguments.steps, arguments.seed)
    quality = auc(y[later], predict(layers, x[later]))
    print(f"measured {day(cut)} to {day(times[-1])}: {later.sum()} rows, {y[later].sum()} fraud, AUC {quality:.4f}")
    if arguments.measure:
        return
    print(f"trained  {day(times[0])} to {day(cut)}: {earlier.sum()} rows, {y[earlier].sum()} fraud, "
          f"AUC {auc(y[earlier], predict(layers, x[earlier])):.4f}")
    export(layers, {
        "model.version": arguments.version,
        "features": ",".join(NAMES),
        "training.period": f"{day(times[0])}/{day(cut)}",
        "training.rows": str(earlier.sum()),
        "measured.period": f"{day(cut)}/{day(times[-1])}",
        "measured.auc": f"{quality:.4f}",
    }, arguments.output)
    print(f"wrote {arguments.output}, {os.path.getsize(arguments.output)} bytes")


if __name__ == "__main__":
    main()
