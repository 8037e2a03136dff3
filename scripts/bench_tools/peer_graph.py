"""Layers of the peer's networks as ONNX nodes: random weights from a seed, multiplications counted."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save


class Graph:
    """Collects nodes; every method takes and returns names of tensors, maps carry (name, channels, height, width)."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.macs = [], [], 0

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, outputs: int = 1, **attributes: object) -> str:
        names = [out] if out else [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def random_weights(self, *shape: int) -> str:
        spread = (2.0 / np.prod(shape[1:])) ** 0.5
        return self.constant((self.random.standard_normal(shape) * spread).astype(np.float32))

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def conv(
        self,
        x: tuple,
        out: int,
        size: int = 1,
        stride: int = 1,
        groups: int = 1,
        pad: int | None = None,
        act: str = "silu",
    ) -> tuple:
        name, channels, height, width = x
        pad = size // 2 if pad is None else pad
        weights = self.random_weights(out, channels // groups, size, size)
        bias = self.constant(np.zeros(out, np.float32))
        shape = {"kernel_shape": [size, size], "strides": [stride, stride], "pads": [pad] * 4, "group": groups}
        y = self.op("Conv", name, weights, bias, **shape)
        height, width = ((v + 2 * pad - size) // stride + 1 for v in (height, width))
        self.macs += out * channels // groups * size * size * height * width
        y = {"silu": self.silu, "relu": lambda v: self.op("Relu", v), "none": lambda v: v}[act](y)
        return y, out, height, width

    def pool(self, kind: str, x: tuple, size: int, stride: int, pad: int) -> tuple:
        name, channels, height, width = x
        y = self.op(kind, name, kernel_shape=[size, size], strides=[stride, stride], pads=[pad] * 4)
        height, width = ((v + 2 * pad - size) // stride + 1 for v in (height, width))
        return y, channels, height, width

    def concat(self, *maps: tuple) -> tuple:
        name = self.op("Concat", *(m[0] for m in maps), axis=1)
        return name, sum(m[1] for m in maps), maps[0][2], maps[0][3]

    def halves(self, x: tuple) -> tuple[tuple, tuple]:
        name, channels, height, width = x
        names = self.op("Split", name, self.ints(channels // 2, channels // 2), axis=1, outputs=2)
        return (names[0], channels // 2, height, width), (names[1], channels // 2, height, width)

    def add(self, a: tuple, b: tuple) -> tuple:
        return self.op("Add", a[0], b[0]), a[1], a[2], a[3]

    def upsample(self, x: tuple) -> tuple:
        name, channels, height, width = x
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.op("Resize", name, "", scales, mode="nearest"), channels, 2 * height, 2 * width

    def dense(self, x: str, tokens: int, inputs: int, outputs: int, act: bool = False) -> str:
        self.macs += tokens * inputs * outputs
        weights = self.random_weights(outputs, inputs)
        product = self.op("MatMul", x, self.op("Transpose", weights, perm=[1, 0]))
        y = self.op("Add", product, self.constant(np.zeros(outputs, np.float32)))
        if not act:
            return y
        half = self.constant(np.float32(0.5))
        erf = self.op("Erf", self.op("Mul", y, self.constant(np.float32(2**-0.5))))
        return self.op("Mul", self.op("Mul", y, half), self.op("Add", erf, self.constant(np.float32(1))))

    def save(self, path: str, inputs: tuple, outputs: tuple) -> None:
        def value(name: str, kind: int, shape: list) -> object:
            return helper.make_tensor_value_info(name, kind, shape)

        graph = helper.make_graph(self.nodes, "peer", [value(*inputs)], [value(*outputs)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        checker.check_model(model)
        save(model, path)


FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
