"""The INT8 twins' making: what stays float, and that the twin answers like the original. Skipped without onnx."""
# ruff: noqa: E402  onnx is optional here and must be looked for before what needs it

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lpr_train.pipeline import session
from lpr_train.quantize import METHODS, kept_float, quantize, same_shape
from onnx import helper, numpy_helper


def four_convolutions(path):
    """image -> conv, relu -> conv, relu -> conv, relu -> conv -> sigmoid"""
    rng = np.random.default_rng(4)
    nodes, weights, name, channels = [], [], "image", 3
    for number in range(4):
        weight = rng.normal(0, 0.15, (16, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(helper.make_node("Conv", [name, f"w{number}"], [f"c{number}"], f"conv{number}", pads=[1, 1, 1, 1]))
        kind = "Sigmoid" if number == 3 else "Relu"
        nodes.append(helper.make_node(kind, [f"c{number}"], [f"a{number}"], f"{kind.lower()}{number}"))
        name, channels = f"a{number}", 16
    shape = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 16, "h", "w"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)
    return model


def test_first_and_last_convolutions_stay_float(tmp_path):
    kept = kept_float(four_convolutions(tmp_path / "net.onnx"))
    assert set(kept) == {"conv0", "relu0", "conv3", "sigmoid3"}


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_the_twin_answers_like_the_original(tmp_path, method):
    four_convolutions(tmp_path / "net.onnx")
    rng = np.random.default_rng(5)
    inputs = [{"image": rng.random((1, 3, 32, 48), np.float32)} for _ in range(8)]
    quantize(tmp_path / "net.onnx", tmp_path / "int8.onnx", inputs, METHODS[method])
    want, got = (session(tmp_path / f"{name}.onnx").run(None, inputs[0])[0] for name in ("net", "int8"))
    assert any(n.op_type == "QuantizeLinear" for n in onnx.load(tmp_path / "int8.onnx").graph.node)
    assert 0 < np.abs(want - got).max() < 0.05


def test_histograms_get_inputs_of_one_shape():
    inputs = [{"x": np.zeros((1, n), np.float32)} for n in (4, 3, 4, 5, 4)]
    assert [feed["x"].shape for feed in same_shape(inputs)] == [(1, 4)] * 3
