"""Exports a trained reader to ONNX (contract `gtv-slots`), compares it with PyTorch and measures one core.

`python -m lpr_train.reader_export --checkpoint OUT/reader.pt --onnx models/weights/reader.onnx`
"""

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from .reader_labels import ALPHABET, CATEGORIES, INPUT_HEIGHT, INPUT_WIDTH, LAYOUTS
from .reader_net import ExportedReader, Reader

OPSET = 17
OUTPUTS = ("slots", "layout", "category", "plate")
TOLERANCE = 1e-4


def export(checkpoint: Path, target: Path, temperature: float) -> ExportedReader:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    reader = Reader(**saved["network"])
    reader.load_state_dict(saved["average"])
    model = ExportedReader(reader, temperature).eval()
    example = torch.zeros(2, INPUT_HEIGHT, INPUT_WIDTH, 3, dtype=torch.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (example,),
        str(target),
        input_names=["plates"],
        output_names=list(OUTPUTS),
        dynamic_axes={name: {0: "n"} for name in ("plates", *OUTPUTS)},
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(str(target))
    for key, value in (
        ("alphabet", ALPHABET),
        ("layouts", ",".join(LAYOUTS)),
        ("categories", ",".join(CATEGORIES)),
        ("contract", "gtv-slots"),
    ):
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(graph)
    onnx.save(graph, str(target))
    return model


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def largest_difference(model: ExportedReader, run: onnxruntime.InferenceSession) -> float:
    """Over batches of several sizes, so that a batch size baked into the graph shows."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for count in (1, 3, 8):
        plates = rng.integers(0, 256, (count, INPUT_HEIGHT, INPUT_WIDTH, 3), np.uint8)
        with torch.inference_mode():
            expected = [t.numpy() for t in model(torch.from_numpy(plates))]
        for mine, other in zip(expected, run.run(list(OUTPUTS), {"plates": plates}), strict=True):
            worst = max(worst, float(np.abs(mine - other).max()))
    return worst


def milliseconds(run: onnxruntime.InferenceSession, rounds: int = 200) -> float:
    """Median of one plate on one thread."""
    plate = np.zeros((1, INPUT_HEIGHT, INPUT_WIDTH, 3), np.uint8)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run.run(None, {"plates": plate})
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description="export the reader to ONNX")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=1.0, help="as found by lpr_train.reader_calibrate")
    args = parser.parse_args()
    model = export(args.checkpoint, args.onnx, args.temperature)
    run = session(args.onnx)
    difference = largest_difference(model, run)
    if difference > TOLERANCE:
        raise SystemExit(f"{args.onnx}: differs from PyTorch by {difference:.2e}, more than {TOLERANCE:.0e}")
    digest = hashlib.sha256(args.onnx.read_bytes()).hexdigest()
    size = args.onnx.stat().st_size / 1e6
    print(
        f"{args.onnx}: {size:.2f} MB, differs by {difference:.1e}, {milliseconds(run):.2f} ms a plate, sha256 {digest}"
    )


if __name__ == "__main__":
    main()
