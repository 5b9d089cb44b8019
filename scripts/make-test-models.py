#!/usr/bin/env python3
"""Writes the ONNX files of the tests and of the speed bar: host/src/inference/testdata/*.onnx.

Needs the package `onnx` (examples/fraud-scoring/requirements.txt). The files are committed, so this
runs only when a test wants a new one. Weights are round numbers that a test can state in a line, or
come from operators that ONNX Runtime folds when it loads the model, which keeps every file small.
"""

import pathlib

from onnx import TensorProto, checker, helper, save

OUT = pathlib.Path(__file__).resolve().parent.parent / "host/src/inference/testdata"
F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def constant(name, shape, values):
    return helper.make_tensor(name, F32, shape, values)


def write(name, inputs, outputs, nodes, constants=(), metadata=None, model_version=0):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="make-test-models")
    model.ir_version = 8
    model.model_version = model_version
    helper.set_model_props(model, metadata or {})
    checker.check_model(model, full_check=True)
    save(model, OUT / f"{name}.onnx")


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


# Four features, one hidden layer: the shape of a scoring model, with everything in its metadata.
write(
    "mlp",
    [("features", F32, ["batch", 4])],
    [("score", F32, ["batch", 1])],
    [
        node("Gemm", ["features", "w1", "b1"], "h"),
        node("Relu", ["h"], "r"),
        node("Gemm", ["r", "w2", "b2"], "z"),
        node("Sigmoid", ["z"], "score"),
    ],
    [
        constant("w1", [4, 3], [0.5, -0.25, 1.0, -1.5, 0.75, 0.25, 2.0, -0.5, -1.0, 0.125, 1.25, -0.75]),
        constant("b1", [3], [0.1, -0.2, 0.3]),
        constant("w2", [3, 1], [1.5, -2.0, 0.5]),
        constant("b2", [1], [-0.4]),
    ],
    {"model.version": "2026.1", "features": "amount,count,mean,ratio"},
)

# Each row [a, b] becomes [a, b, a + b].
write(
    "three-scores",
    [("x", F32, ["batch", 2])],
    [("y", F32, ["batch", 3])],
    [node("MatMul", ["x", "w"], "y")],
    [constant("w", [2, 3], [1.0, 0.0, 1.0, 0.0, 1.0, 1.0])],
    model_version=7,
)

# The sum of a row, as a plain list of scores; the declared shape says nothing.
write(
    "flat",
    [("x", F32, ["batch", 3])],
    [("y", F32, ["rows"])],
    [node("ReduceSum", ["x", "axes"], "y", keepdims=0)],
    [helper.make_tensor("axes", I64, [1], [1])],
    {"features": '["a", "b", "c"]'},
)

# 1 / x: infinite at zero.
write("reciprocal", [("x", F32, ["batch", 1])], [("y", F32, ["batch", 1])], [node("Reciprocal", ["x"], "y")])

# A classifier as exporters write them: a label that nobody wants beside the score.
write(
    "label-and-score",
    [("x", F32, ["batch", 1])],
    [("label", I64, ["batch", 1]), ("score", F32, ["batch", 1])],
    [node("Cast", ["x"], "label", to=I64), node("Sigmoid", ["x"], "score")],
)

# What does not fit.
identity = [node("Identity", ["x"], "y")]
write("integer-input", [("x", I64, ["batch", 2])], [("y", F32, ["batch", 2])], [node("Cast", ["x"], "y", to=F32)])
write("integer-output", [("x", F32, ["batch", 2])], [("y", I64, ["batch", 2])], [node("Cast", ["x"], "y", to=I64)])
write("fixed-batch", [("x", F32, [1, 2])], [("y", F32, [1, 2])], identity)
write("no-width", [("x", F32, ["batch", "width"])], [("y", F32, ["batch", "width"])], identity)
write(
    "two-inputs",
    [("a", F32, ["batch", 2]), ("b", F32, ["batch", 2])],
    [("y", F32, ["batch", 2])],
    [node("Add", ["a", "b"], "y")],
)
write(
    "two-scores",
    [("x", F32, ["batch", 1])],
    [("low", F32, ["batch", 1]), ("high", F32, ["batch", 1])],
    [node("Neg", ["x"], "low"), node("Abs", ["x"], "high")],
)
write(
    "one-score-for-all",
    [("x", F32, ["batch", 2])],
    [("y", F32, ["rows", 1])],
    [node("ReduceSum", ["x"], "y", keepdims=1)],
)
write(
    "wrong-names",
    [("x", F32, ["batch", 2])],
    [("y", F32, ["batch", 2])],
    identity,
    metadata={"features": "only_one"},
)

# The network of the speed bar, 128 -> 64 -> 64 -> 1. Weights are sines of their squared position,
# scaled so that scores spread; constant folding computes them once, at load.
nodes, constants, previous = [], [], "features"
for layer, (rows, columns) in enumerate([(128, 64), (64, 64), (64, 1)]):
    n = str(layer)
    constants += [
        constant("from" + n, [], [float(layer)]),
        constant("to" + n, [], [float(layer + rows * columns)]),
        constant("step" + n, [], [1.0]),
        constant("phase" + n, [], [0.013]),
        constant("scale" + n, [], [(6.0 / rows) ** 0.5]),
        helper.make_tensor("shape" + n, I64, [2], [rows, columns]),
    ]
    nodes += [
        node("Range", ["from" + n, "to" + n, "step" + n], "range" + n),
        node("Mul", ["range" + n, "range" + n], "square" + n),
        node("Mul", ["square" + n, "phase" + n], "angle" + n),
        node("Sin", ["angle" + n], "sine" + n),
        node("Mul", ["sine" + n, "scale" + n], "scaled" + n),
        node("Reshape", ["scaled" + n, "shape" + n], "weights" + n),
        node("Gemm", [previous, "weights" + n], "sum" + n),
    ]
    previous = "out" + n if layer < 2 else "score"
    nodes.append(node("Relu" if layer < 2 else "Sigmoid", ["sum" + n], previous))
write("mlp-128", [("features", F32, ["batch", 128])], [("score", F32, ["batch", 1])], nodes, constants,
      {"model.version": "1"})
