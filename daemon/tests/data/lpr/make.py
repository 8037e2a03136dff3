"""Writes the tiny models that the plate reader's tests load: `python daemon/tests/data/lpr/make.py` (needs `onnx`).

They have the signatures of the real contracts and answer predictably. A test plate is a 2:1 rectangle whose red is 255
and green 0, which the detector finds by color where it is 64x32 px in the input, and whose blue spells the text:
nine equal columns, column i of value 7 x the index of character i in the alphabet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HERE = Path(__file__).resolve().parent
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
SLOTS, WIDTH, HEIGHT = 9, 128, 64
PLATE_W, PLATE_H, STRIDE = 64, 32, 8


class Graph:
    """Collects nodes and constants; every method returns the name of a tensor."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def const(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: object) -> str:
        name = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def ints(self, *values: int) -> str:
        return self.const(np.array(values, np.int64))

    def floats(self, *values: float) -> str:
        return self.const(np.array(values, np.float32))

    def int8(self, value: str, scale: float) -> str:
        """Through unsigned 8 bits and back, as quantized models do between their layers."""
        steps = (self.const(np.float32(scale)), self.const(np.uint8(0)))
        return self.op("DequantizeLinear", self.op("QuantizeLinear", value, *steps), *steps)

    def save(self, file: str, inputs: list, outputs: list) -> None:
        graph = helper.make_graph(self.nodes, file.removesuffix(".onnx"), inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        checker.check_model(model)
        save(model, HERE / file)


def tensor(name: str, kind: int, *shape: object) -> object:
    return helper.make_tensor_value_info(name, kind, list(shape))


def quad_detector(file: str, int8: bool = False) -> None:
    """gtv-quad with free batch and size: the share of red without green under a plate-sized window, every 8 px."""
    g = Graph()
    pool = {"kernel_shape": [PLATE_H, PLATE_W], "strides": [STRIDE, STRIDE]}
    red = g.op("AveragePool", g.op("Gather", "images", g.ints(0), axis=1), **pool)
    green = g.op("AveragePool", g.op("Gather", "images", g.ints(1), axis=1), **pool)
    score = g.op("Sub", red, green)  # [N,1,h,w]
    if int8:
        score = g.int8(score, 1 / 255)
    shape = g.op("Shape", score)

    def grid(axis: int, first: float, view: list[int]) -> str:
        zero, one = g.const(np.int64(0)), g.const(np.int64(1))
        count = g.op("Gather", shape, g.const(np.int64(axis)))
        steps = g.op("Cast", g.op("Range", zero, count, one), to=TensorProto.FLOAT)
        places = g.op("Add", g.op("Mul", steps, g.floats(STRIDE)), g.floats(first))
        return g.op("Expand", g.op("Reshape", places, g.ints(*view)), shape)

    x, y = grid(3, PLATE_W / 2, [1, 1, 1, -1]), grid(2, PLATE_H / 2, [1, 1, -1, 1])
    left, right = (g.op("Add", x, g.floats(d)) for d in (-PLATE_W / 2, PLATE_W / 2))
    top, bottom = (g.op("Add", y, g.floats(d)) for d in (-PLATE_H / 2, PLATE_H / 2))
    two_rows = g.op("Mul", score, g.floats(0.1))
    maps = g.op("Concat", score, two_rows, left, top, right, top, right, bottom, left, bottom, axis=1)
    rows = g.op("Transpose", g.op("Reshape", maps, g.ints(0, 10, -1)), perm=[0, 2, 1])
    g.op("Identity", rows, out="quads")
    g.save(
        file,
        [tensor("images", TensorProto.FLOAT, "N", 3, "H", "W")],
        [tensor("quads", TensorProto.FLOAT, "N", "A", 10)],
    )


def constant_detector(file: str, size: int, answer: np.ndarray) -> None:
    """The same answer to every picture, in the shape of a YOLO export."""
    g = Graph()
    nothing = g.op("Mul", g.op("ReduceMean", "images", keepdims=0), g.floats(0.0))
    g.op("Add", g.const(answer.astype(np.float32)), nothing, out="output")
    g.save(
        file,
        [tensor("images", TensorProto.FLOAT, 1, 3, size, size)],
        [tensor("output", TensorProto.FLOAT, *answer.shape)],
    )


def reader(
    file: str, channels: int = 3, slots: str = "slots", flat: bool = False, int8: bool = False, **classes: list[float]
) -> None:
    """Reads the column code into the output called `slots`; `classes` are further outputs with constant answers. Where
    one of ours is `category`, `plate` says that nothing green is to be seen: gray lettering is no plate."""
    g = Graph()
    plane = g.op("Gather", "plates", g.const(np.int64(channels - 1)), axis=3)  # [N,64,128]
    plane = g.op("Cast", plane, to=TensorProto.FLOAT)
    margin = WIDTH * 0.04 / 1.08
    centers = [margin + (WIDTH - 2 * margin) * (i + 0.5) / SLOTS for i in range(SLOTS)]
    columns = np.array([[int(c) + d for d in (-2, -1, 0, 1, 2)] for c in centers], np.int64)
    middle = g.op("Slice", plane, g.ints(20), g.ints(44), g.ints(1))
    values = g.op("ReduceMean", g.op("Gather", middle, g.const(columns), axis=2), axes=[1, 3], keepdims=0)  # [N,9]
    if int8:
        values = g.int8(values, 1.0)
    index = g.op("Mul", values, g.floats(1 / 7))
    letters = g.const(np.arange(len(ALPHABET), dtype=np.float32))
    away = g.op("Abs", g.op("Sub", g.op("Unsqueeze", index, g.ints(2)), letters))
    shares = g.op("Softmax", g.op("Mul", away, g.floats(-6.0)), axis=2)
    shape = [0, -1] if flat else [0, SLOTS, len(ALPHABET)]
    g.op("Reshape", shares, g.ints(*shape), out=slots)
    outputs = [tensor(slots, TensorProto.FLOAT, "N", *([333] if flat else [SLOTS, len(ALPHABET)]))]
    zero = g.op("Mul", g.op("ReduceMean", values, axes=[1], keepdims=1), g.floats(0.0))
    for name, answer in classes.items():
        g.op("Add", zero, g.const(np.array([answer], np.float32)), out=name)
        outputs.append(tensor(name, TensorProto.FLOAT, "N", len(answer)))
    if "category" in classes:
        green = g.op("Cast", g.op("Gather", "plates", g.const(np.int64(1)), axis=3), to=TensorProto.FLOAT)
        green = g.op("ReduceMean", green, axes=[1, 2], keepdims=0)  # the margin of a plate makes it some 20
        g.op("Sigmoid", g.op("Sub", g.floats(60.0), g.op("Unsqueeze", green, g.ints(1))), out="plate")
        outputs.append(tensor("plate", TensorProto.FLOAT, "N", 1))
    g.save(file, [tensor("plates", TensorProto.UINT8, "N", HEIGHT, WIDTH, channels)], outputs)


def main() -> None:
    quad_detector("quad.onnx")
    quad_detector("quad-int8.onnx", int8=True)
    box = [64.0, 96.0, 128.0, 128.0]
    constant_detector("yolo-nms.onnx", 320, np.array([[0, *box, 0, 0.9], [0, 0, 0, 9, 9, 0, 0.1]]))
    v8 = np.zeros((1, 5, 12))
    v8[0, :, 3] = [96, 112, 64, 32, 0.9]
    constant_detector("yolo-v8.onnx", 320, v8)
    v5 = np.zeros((1, 12, 6))
    v5[0, 3] = [96, 112, 64, 32, 0.95, 0.95]
    constant_detector("yolo-v5.onnx", 320, v5)
    layout = [0.4, 0.05, 0.4, 0.05, 0.025, 0.025, 0.025, 0.025]
    category = [0.1, 0.7, 0.04, 0.04, 0.04, 0.04, 0.04]
    reader("slots.onnx", layout=layout)
    reader("slots-int8.onnx", layout=layout, int8=True)
    reader("slots-full.onnx", layout=layout, category=category)
    reader("ocr-v0.onnx", channels=1, slots="concatenate", flat=True)
    reader("ocr-v1.onnx", slots="dense")
    reader("ocr-v2.onnx", slots="plate", region=[0.1, 0.8, 0.1])


if __name__ == "__main__":
    main()
