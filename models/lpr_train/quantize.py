"""Makes a model's INT8 twin: `python -m lpr_train.quantize --kind detector --model M.onnx --data DIR --out M8.onnx`.

Static quantization: activations uint8, weights int8 per channel, in 7 bits so that processors without VNNI do not
saturate. Ranges come from inputs that the reference pipeline prepares from the data folder. The first convolution, the
last ones and all behind them (scores, corners, attention) stay float. Prints the time of both models;
`evaluate.py --int8` measures what it costs in accuracy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .manifest import update_hash
from .pipeline import Candidate, PlateDetector, PlateReader, session

SOURCES = {
    "detector": ["scenes-open-images", "scenes-romania", "scenes-quads", "negatives"],
    "reader": ["crops-br", "crops-eu"],
}
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
QUANTIZED_OPS = ["Conv", "Relu", "Add", "Concat", "Split", "Resize", "MaxPool"]
# What a busy image adds to the ranges: its first look and so many second ones.
INPUTS_PER_IMAGE = 3
TIMED_SIZES = [(640, 384), (512, 320), (256, 160)]
TIMED_RUNS = 25


class Recorder:
    """A model that keeps what it is fed."""

    def __init__(self, model: onnxruntime.InferenceSession) -> None:
        self.model, self.fed = model, []

    def run(self, names: list[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.fed.append(feeds)
        return self.model.run(names, feeds)


def images(data: Path, sources: list[str], count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """RGB images, the sources taking turns, drawn without repetition."""
    for source in sources:
        rows = (data / source / "labels.jsonl").read_text().splitlines()
        for number in rng.permutation(len(rows))[: -(-count // len(sources))]:
            path = data / source / json.loads(rows[number])["file"]
            image = cv2.imread(str(path))
            if image is None:
                raise SystemExit(f"{path}: not a readable image; remove its label or restore it")
            yield np.ascontiguousarray(image[:, :, ::-1])


def calibration_inputs(kind: str, model: Path, spec: dict, data: Path, count: int, seed: int) -> list[dict]:
    """What the pipeline feeds the model over about `count` images."""
    recorder, inputs = Recorder(session(model, 2)), []
    pipeline = (PlateDetector if kind == "detector" else PlateReader)(recorder, spec)
    for image in images(data, SOURCES[kind], count, np.random.default_rng(seed)):
        recorder.fed.clear()
        if kind == "detector":
            pipeline.detect(image)
        else:
            height, width = image.shape[:2]
            pipeline.read(image, Candidate(1.0, 0.0, np.float32([[0, 0], [width, 0], [width, height], [0, height]])))
        inputs += recorder.fed[:INPUTS_PER_IMAGE]
    return inputs


def same_shape(inputs: list[dict]) -> list[dict]:
    """Those of the most common shape: histograms over several shapes are beyond ONNX Runtime."""
    shapes = [next(iter(feed.values())).shape for feed in inputs]
    common = max(set(shapes), key=shapes.count)
    return [feed for feed, shape in zip(inputs, shapes, strict=True) if shape == common]


class Calibration(CalibrationDataReader):
    def __init__(self, inputs: list[dict]) -> None:
        self.left = iter(inputs)

    def get_next(self) -> dict | None:
        return next(self.left, None)


def kept_float(model: onnx.ModelProto) -> list[str]:
    """Names of the last convolutions and of every node behind one (what no further convolution follows), and of the
    first convolution with its activation: three channels fill no vector, it is twice as fast in float."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    leads_to_conv: dict[str, bool] = {}
    for node in reversed(model.graph.node):
        after = [user for name in node.output for user in users.get(name, [])]
        leads_to_conv[node.name] = any(user.op_type == "Conv" or leads_to_conv[user.name] for user in after)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    head = [first.name, *(user.name for user in users[first.output[0]] if user.op_type == "Relu")]
    return head + [name for name, leads in leads_to_conv.items() if not leads]


def quantize(model: Path, to: Path, inputs: list[dict], method: CalibrationMethod) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        quant_pre_process(str(model), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(to),
            Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED_OPS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept_float(onnx.load(plain)),
            calibrate_method=method,
            extra_options={"CalibPercentile": 99.995} if method == CalibrationMethod.Percentile else None,
        )


def best_ms(model: Path, feeds: dict[str, np.ndarray]) -> float:
    """The best of many runs on one thread: what the processor can do when nobody else wants it."""
    network, times = session(model), []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        network.run(None, feeds)
        times.append((time.perf_counter() - began) * 1000)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--kind", choices=sorted(SOURCES), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with scenes-*, crops-*, negatives")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=sorted(METHODS), default="minmax")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--manifest", type=Path, default=Path(__file__).resolve().parent.parent / "manifest.toml")
    parser.add_argument("--record", action="store_true", help="write the new file's hash into the manifest")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    spec = tomllib.loads(args.manifest.read_text())[args.kind]
    inputs = calibration_inputs(args.kind, args.model, spec, args.data, args.images, args.seed)
    if args.method != "minmax":
        inputs = same_shape(inputs)
    quantize(args.model, args.out, inputs, METHODS[args.method])
    if args.record:
        update_hash(args.manifest, args.kind, args.out, key="sha256_int8")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB from {len(inputs)} inputs ({args.method})")
    if args.kind == "detector":
        feeds = [{"images": np.random.default_rng(1).random((1, 3, h, w), np.float32)} for w, h in TIMED_SIZES]
    else:
        feeds = inputs[:1]
    for feed in feeds:
        shape = next(iter(feed.values())).shape
        print(f"{shape}: float {best_ms(args.model, feed):.2f} ms, INT8 {best_ms(args.out, feed):.2f} ms, one thread")


if __name__ == "__main__":
    main()
