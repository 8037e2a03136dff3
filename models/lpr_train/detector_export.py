"""Exports a detector: `python -m lpr_train.detector_export --checkpoint OUT/last.pt --to weights/detector.onnx`.

Several checkpoints of one run are averaged, which evens out what the last stage gained here and lost there.
Checks the exported graph against PyTorch at two input sizes and writes the file's SHA-256 into the manifest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from .detector_net import Detector, DetectorExport
from .manifest import update_hash

OPSET = 17
TOLERANCE_PX = 0.05


def load_net(checkpoints: list[Path]) -> Detector:
    """The mean of the checkpoints' averaged weights."""
    states = [torch.load(path, map_location="cpu")["average"] for path in checkpoints]
    mean = {
        name: sum(state[name] for state in states) / len(states) if value.dtype.is_floating_point else value
        for name, value in states[-1].items()
    }
    net = Detector()
    net.load_state_dict(mean)
    return net.eval()


def export(net: Detector, to: Path) -> None:
    model = DetectorExport(net).eval()
    to.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.rand(1, 3, 384, 640),),
        str(to),
        input_names=["images"],
        output_names=["quads"],
        dynamic_axes={"images": {0: "n", 2: "height", 3: "width"}, "quads": {0: "n", 1: "cells"}},
        opset_version=OPSET,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(str(to), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 384, 640), (2, 3, 160, 256)):
        images = torch.rand(shape)
        with torch.no_grad():
            want = model(images).numpy()
        got = session.run(None, {"images": images.numpy()})[0]
        worst = float(np.abs(want - got).max())
        if want.shape != got.shape or worst > TOLERANCE_PX:
            raise SystemExit(f"{to}: differs from the checkpoint by {worst} at {shape}; do not ship this file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, help="manifest.toml to write the new hash to")
    args = parser.parse_args()
    export(load_net(args.checkpoint), args.to)
    if args.manifest:
        update_hash(args.manifest, "detector", args.to)


if __name__ == "__main__":
    main()
