"""Makes the peer's two networks: `python -m bench_tools.peer_models FOLDER` (needs `onnx`; scripts/bench calls it).

Shapes and amount of work of what people run today, random weights: a detector like YOLOv9-t at 384x384 with its
suppression inside, a reader like the CCT-XS of fast-plate-ocr at 64x128. The detector answers one plate in the middle
of every picture, so that the reader runs once a picture. Their work is written down in GFLOP, two a multiplication.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from .peer_graph import FLOAT, UINT8, Graph

SIDE = 384
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
SLOTS, HEIGHT, WIDTH, TOKEN = 9, 64, 128, 64


def bottlenecks(g: Graph, x: tuple, out: int, count: int) -> tuple:
    """Cross-stage partial: half of the channels pass `count` residual pairs of 3x3 convolutions."""
    half = out // 2
    y = g.conv(x, half)
    for _ in range(count):
        y = g.add(y, g.conv(g.conv(y, half, 3), half, 3))
    return g.conv(g.concat(y, g.conv(x, half)), out)


def elan(g: Graph, x: tuple, out: int, inner: int, branch: int, count: int = 3) -> tuple:
    first, second = g.halves(g.conv(x, inner))
    third = g.conv(bottlenecks(g, second, branch, count), branch, 3)
    fourth = g.conv(bottlenecks(g, third, branch, count), branch, 3)
    return g.conv(g.concat(first, second, third, fourth), out)


def plain_elan(g: Graph, x: tuple, out: int, inner: int, branch: int) -> tuple:
    first, second = g.halves(g.conv(x, inner))
    third = g.conv(second, branch, 3)
    return g.conv(g.concat(first, second, third, g.conv(third, branch, 3)), out)


def down(g: Graph, x: tuple, out: int) -> tuple:
    return g.conv(g.pool("AveragePool", x, 2, 1, 0), out, 3, 2, pad=1)


def detector(path: Path) -> float:
    g = Graph(1)
    x = g.conv(g.conv(("images", 3, SIDE, SIDE), 16, 3, 2), 32, 3, 2)
    p3 = elan(g, down(g, plain_elan(g, x, 32, 32, 16), 64), 64, 64, 32)
    p4 = elan(g, down(g, p3, 96), 96, 96, 48)
    p5 = elan(g, down(g, p4, 128), 128, 128, 64)
    x = g.conv(p5, 64)
    pools = [x]
    for _ in range(3):
        pools.append(g.pool("MaxPool", pools[-1], 5, 1, 2))
    p5 = g.conv(g.concat(*pools), 128)
    middle = elan(g, g.concat(g.upsample(p5), p4), 96, 96, 48)
    small = elan(g, g.concat(g.upsample(middle), p3), 64, 64, 32)
    middle = elan(g, g.concat(down(g, small, 48), middle), 96, 96, 48)
    large = elan(g, g.concat(down(g, middle, 64), p5), 128, 128, 64)
    boxes, scores = heads(g, [small, middle, large])
    limits = [g.ints(100), g.constant(np.array([0.5], np.float32)), g.constant(np.array([0.99999], np.float32))]
    kept = g.op("NonMaxSuppression", boxes, scores, *limits)
    # The answer depends on everything that was computed, by nothing.
    used = g.op("Add", g.op("ReduceMax", scores, keepdims=0), g.op("Cast", g.op("Size", kept), to=FLOAT))
    nothing = g.op("Mul", used, g.constant(np.float32(0)))
    plate = g.constant(np.array([[0, 172, 185, 212, 199, 0, 0.9]], np.float32))
    g.op("Add", plate, nothing, out="output")
    g.save(str(path), ("images", FLOAT, [1, 3, SIDE, SIDE]), ("output", FLOAT, [1, 7]))
    return 2e-9 * g.macs


def heads(g: Graph, maps: list[tuple]) -> tuple[str, str]:
    """Sixteen bins a side of a box, and one class behind the branch of eighty: boxes [1,A,4] and scores [1,1,A]."""
    sides, classes = [], []
    for x in maps:
        box = g.conv(g.conv(g.conv(x, 64, 3), 64, 3, groups=4), 64, 1, groups=4, act="none")
        label = g.conv(g.conv(g.conv(x, 80, 3), 80, 3), 1, 1, act="none")
        sides.append(g.op("Reshape", box[0], g.ints(1, 64, -1)))
        classes.append(g.op("Reshape", label[0], g.ints(1, 1, -1)))
    bins = g.op("Reshape", g.op("Concat", *sides, axis=2), g.ints(1, 4, 16, -1))
    steps = g.constant(np.arange(16, dtype=np.float32).reshape(1, 1, 16, 1))
    mean = g.op("ReduceSum", g.op("Mul", g.op("Softmax", bins, axis=2), steps), g.ints(2), keepdims=0)
    return g.op("Transpose", mean, perm=[0, 2, 1]), g.op("Sigmoid", g.op("Concat", *classes, axis=2))


def blur_pool(g: Graph, x: tuple) -> tuple:
    x = g.pool("MaxPool", x, 2, 1, 0)
    return g.conv(x, x[1], 3, 2, groups=x[1], act="none")


def reader(path: Path) -> float:
    g = Graph(2)
    plates = g.op("Mul", g.op("Cast", "plates", to=FLOAT), g.constant(np.float32(1 / 255)))
    x = (g.op("Transpose", plates, perm=[0, 3, 1, 2]), 3, HEIGHT, WIDTH)
    x = blur_pool(g, g.conv(x, 32, 3, pad=0, act="relu"))
    x = blur_pool(g, g.conv(g.conv(x, 48, 3, pad=0, act="relu"), 64, 3, pad=0, act="relu"))
    x = g.conv(g.conv(x, 80, 3, pad=0, act="relu"), 96, 3, pad=0, act="relu")
    name, channels, height, width = x
    rows, columns = height // 2, width // 2
    tokens, patch = rows * columns, channels * 4
    name = g.op("Slice", name, g.ints(0, 0), g.ints(2 * rows, 2 * columns), g.ints(2, 3))
    patches = g.op("SpaceToDepth", name, blocksize=2)
    x = g.op("Transpose", g.op("Reshape", patches, g.ints(0, patch, tokens)), perm=[0, 2, 1])
    x = g.op("Add", g.dense(x, tokens, patch, TOKEN, act=True), g.random_weights(1, tokens, TOKEN))
    for _ in range(4):
        x = g.op("Add", x, attention(g, norm(g, x), tokens))
        y = g.dense(norm(g, x), tokens, TOKEN, TOKEN, act=True)
        x = g.op("Add", x, g.dense(y, tokens, TOKEN, TOKEN, act=True))
    slots = g.op("MatMul", g.random_weights(1, SLOTS, tokens), x)
    g.macs += SLOTS * tokens * TOKEN
    logits = g.dense(slots, SLOTS, TOKEN, len(ALPHABET))
    g.op("Softmax", logits, axis=2, out="plate")
    g.save(str(path), ("plates", UINT8, ["N", HEIGHT, WIDTH, 3]), ("plate", FLOAT, ["N", SLOTS, len(ALPHABET)]))
    return 2e-9 * g.macs


def norm(g: Graph, x: str) -> str:
    """Dynamic tanh: a learned slope, gain and offset."""
    return g.op("Mul", g.op("Tanh", g.op("Mul", x, g.constant(np.float32(0.5)))), g.random_weights(1, 1, TOKEN))


def attention(g: Graph, x: str, tokens: int) -> str:
    query, key, value = (g.dense(x, tokens, TOKEN, TOKEN) for _ in range(3))
    weights = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 2, 1]))
    weights = g.op("Softmax", g.op("Mul", weights, g.constant(np.float32(TOKEN**-0.5))), axis=2)
    g.macs += 2 * tokens * tokens * TOKEN
    return g.dense(g.op("MatMul", weights, value), tokens, TOKEN, TOKEN)


MANIFEST = f"""[detector]
file = "detector.onnx"
contract = "yolo-nms"

[reader]
file = "reader.onnx"
contract = "fast-plate-ocr"
alphabet = "{ALPHABET}"
"""


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    work = {"detector": detector(folder / "detector.onnx"), "reader": reader(folder / "reader.onnx")}
    (folder / "gflop.json").write_text(json.dumps({name: round(gflop, 3) for name, gflop in work.items()}))
    (folder / "manifest.toml").write_text(MANIFEST)


if __name__ == "__main__":
    main()
