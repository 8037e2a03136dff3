"""A half-trained detector improves its data: `python -m lpr_train.detector_mine --model M.onnx --cache OUT/cache`.

Writes `relabel.jsonl` (corners for plates of which only a box was drawn, where the detector and the box agree) and
`weights.jsonl` (scenes without plates in which it saw one are drawn more often). Training picks both up on resuming.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np

from .detector_data import SceneCache
from .pipeline import Candidate, PlateDetector, iou, session

AGREE_IOU = 0.72
AGREE_SCORE = 0.3
HARD_SCORE = 0.4
HARD_WEIGHT = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, default=Path(__file__).resolve().parent.parent / "manifest.toml")
    parser.add_argument("--negatives", default="negatives", help="the source without any plate")
    args = parser.parse_args()
    detector = PlateDetector(session(args.model), tomllib.loads(args.manifest.read_text())["detector"])
    for old in ("relabel.jsonl", "weights.jsonl"):
        (args.cache / old).unlink(missing_ok=True)
    cache = SceneCache(args.cache)
    relabel, weights, boxes = [], [], 0
    for scene in cache.scenes:
        image = cache.image(scene)
        if scene.source == args.negatives:
            best = max((c.score for c in detector.look(image, *detector.first_frame(image))), default=0.0)
            if best > HARD_SCORE:
                weights.append({"file": scene.file, "weight": 1.0 + HARD_WEIGHT * best})
            continue
        for number, plate in enumerate(scene.plates):
            box = np.concatenate([plate.quad.min(0), plate.quad.max(0)])
            if plate.exact and not np.allclose(plate.quad[0], box[:2]):
                continue
            boxes += 1
            seen = detector.look_again(image, Candidate(1.0, 0.0, plate.quad))
            if seen is not None and seen.score > AGREE_SCORE and iou(seen.box, box) > AGREE_IOU:
                relabel.append({"file": scene.file, "plate": number, "quad": seen.quad.tolist()})
    (args.cache / "relabel.jsonl").write_text("".join(json.dumps(r) + "\n" for r in relabel))
    (args.cache / "weights.jsonl").write_text("".join(json.dumps(r) + "\n" for r in weights))
    print(f"corners for {len(relabel)} of {boxes} boxes, {len(weights)} hard scenes without plates")


if __name__ == "__main__":
    main()
