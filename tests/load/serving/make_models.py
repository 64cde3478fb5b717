"""Makes the models of the serving benchmark, their rows and their answers: make_models.py FOLDER

Needs onnx, onnxruntime, skl2onnx and scikit-learn; the bytes repeat. For each model: NAME.onnx, NAME.rows
(eight rows of float32, little-endian), NAME.answers (what onnxruntime gives for each alone); and models.json.

mlp   [N, 1024]         four dense layers, softmax over 15
cnn   [N, 224, 224, 3]  three convolutions, global average, one sigmoid
tiny  [N, 4]            logistic regression of scikit-learn
tree  [N, 4]            random forest of 100 trees of scikit-learn
slow  [N, 224, 224, 3]  four wide convolutions: about 50 ms on one thread; for Millrace alone
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which would report it to its makers

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

SEED = 7
ROWS = 8
IMAGE = (224, 224, 3)
FOLDER = Path(sys.argv[1])
RNG = np.random.default_rng(SEED)


def weights(name: str, *shape: int, scale: float) -> onnx.TensorProto:
    return numpy_helper.from_array((RNG.standard_normal(shape) * scale).astype(np.float32), name)


def save(name: str, nodes: list, row: tuple[int, ...], width: int, initializers: list) -> None:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *row])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", width])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="millrace-bench")
    model.ir_version = 9
    onnx.checker.check_model(model)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def make_mlp() -> None:
    widths = [1024, 512, 256, 128, 15]
    nodes, initializers, x = [], [], "input"
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        initializers += [
            weights(f"w{i}", wide, narrow, scale=(2 / wide) ** 0.5),
            weights(f"b{i}", narrow, scale=0.01),
        ]
        nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"z{i}"]))
        x = f"z{i}"
        if i < len(widths) - 2:
            nodes.append(helper.make_node("Relu", [x], [f"r{i}"]))
            x = f"r{i}"
    nodes.append(helper.make_node("Softmax", [x], ["output"], axis=1))
    save("mlp", nodes, (1024,), 15, initializers)


def make_images(name: str, layers: list[tuple[int, int]], pool: bool) -> None:
    """Convolutions of (filters, stride) with ReLU, then the mean of each filter, 64 wide, and one sigmoid."""
    nodes = [helper.make_node("Transpose", ["input"], ["t"], perm=[0, 3, 1, 2])]
    initializers, x, depth = [], "t", IMAGE[2]
    for i, (filters, stride) in enumerate(layers):
        initializers += [
            weights(f"k{i}", filters, depth, 3, 3, scale=(2 / (9 * depth)) ** 0.5),
            weights(f"c{i}", filters, scale=0.01),
        ]
        nodes += [
            helper.make_node(
                "Conv",
                [x, f"k{i}", f"c{i}"],
                [f"a{i}"],
                kernel_shape=[3, 3],
                strides=[stride, stride],
                pads=[1, 1, 1, 1],
            ),
            helper.make_node("Relu", [f"a{i}"], [f"r{i}"]),
        ]
        x, depth = f"r{i}", filters
        if pool and i < len(layers) - 1:
            nodes.append(helper.make_node("MaxPool", [x], [f"p{i}"], kernel_shape=[2, 2], strides=[2, 2]))
            x = f"p{i}"
    initializers += [
        weights("d0", depth, 64, scale=0.18),
        weights("e0", 64, scale=0.01),
        weights("d1", 64, 1, scale=0.18),
        weights("e1", 1, scale=0.01),
    ]
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "d0", "e0"], ["z0"]),
        helper.make_node("Relu", ["z0"], ["y0"]),
        helper.make_node("Gemm", ["y0", "d1", "e1"], ["z1"]),
        helper.make_node("Sigmoid", ["z1"], ["output"]),
    ]
    save(name, nodes, IMAGE, 1, initializers)


def make_iris() -> np.ndarray:
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    estimators = {
        "tiny": LogisticRegression(max_iter=500),
        "tree": RandomForestClassifier(100, max_depth=6, random_state=SEED),
    }
    for name, estimator in estimators.items():
        estimator.fit(x, y)
        # without the map of class to probability, which is no tensor
        model = to_onnx(estimator, x[:1], options={id(estimator): {"zipmap": False}}, target_opset=17)
        (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return x[:: len(x) // ROWS][:ROWS].copy()


def describe(name: str, rows: np.ndarray) -> dict:
    session = onnxruntime.InferenceSession(str(FOLDER / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    given, wanted = session.get_inputs()[0], session.get_outputs()[-1]
    answers = np.concatenate([session.run([wanted.name], {given.name: row[None]})[0] for row in rows])
    (FOLDER / f"{name}.rows").write_bytes(rows.astype("<f4").tobytes())
    (FOLDER / f"{name}.answers").write_bytes(answers.astype("<f4").tobytes())
    shape, width = list(rows.shape[1:]), answers.shape[1]
    return {"input": given.name, "output": wanted.name, "row": shape, "width": width}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    make_mlp()
    make_images("cnn", [(16, 2), (32, 1), (64, 1)], pool=True)
    make_images("slow", [(64, 1)] * 4, pool=False)
    iris = make_iris()
    images = (RNG.integers(0, 256, (ROWS, *IMAGE)) / 255.0).astype(np.float32)
    rows = {
        "mlp": RNG.random((ROWS, 1024), dtype=np.float32),
        "cnn": images,
        "tiny": iris,
        "tree": iris,
        "slow": images,
    }
    described = {name: describe(name, values) for name, values in rows.items()}
    own = {"slow": described.pop("slow")}
    about = {"onnxruntime": onnxruntime.__version__, "models": described, "own": own}
    (FOLDER / "models.json").write_text(json.dumps(about))


main()
