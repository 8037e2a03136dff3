"""A half-trained detector improves its data: `python -m lpr_train.detector_mine --model M.onnx --cache OUT/cache`.

Writes `weights.jsonl`: where it saw plates that are none; and `relabel.jsonl`: corners for plates of which only a box
was drawn, where it agrees with the box and the plate's edge is clear (`detector_tighten`). Both kinds of scenes are
shown more often from then on. Training picks the files up on resuming.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np

from .detector_data import Scene, SceneCache
from .detector_tighten import tighten
from .pipeline import Candidate, PlateDetector, iou, session, suppress

AGREE_IOU = 0.5
AGREE_SCORE = 0.3
HARD_SCORE = 0.4
HARD_WEIGHT = 12.0
TIGHT_WEIGHT = 2.5
# Photos with plates may hold one that nobody drew: only what is far from any drawn one and certain counts.
HARD_SCORE_BESIDE_PLATES = 0.55
SPOTS_PER_SCENE = 6
# The scenes without plates show cars far away: what is narrower may be a plate that nobody can read.
LEAST_SPOT_PX = 24.0


def clear(candidate: Candidate, scene: Scene) -> bool:
    """Whether the candidate is large enough to judge and touches nothing that may be a plate."""
    if np.ptp(candidate.quad[:, 0]) < LEAST_SPOT_PX:
        return False
    known = [np.concatenate([p.quad.min(0), p.quad.max(0)]) for p in scene.plates] + scene.ignore
    return all(iou(candidate.box, box) == 0.0 for box in known)


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
        bare = scene.source == args.negatives
        seen = suppress(detector.look(image, *detector.first_frame(image)), 0.3)
        false = [c for c in seen if c.score > (HARD_SCORE if bare else HARD_SCORE_BESIDE_PLATES) and clear(c, scene)]
        spots = [[*map(float, c.quad.mean(0)), float(np.ptp(c.quad[:, 0]))] for c in false[:SPOTS_PER_SCENE]]
        before = len(relabel)
        for number, plate in enumerate(scene.plates):
            box = np.concatenate([plate.quad.min(0), plate.quad.max(0)])
            if plate.exact and not np.allclose(plate.quad[0], box[:2]):
                continue
            boxes += 1
            seen = detector.look_again(image, Candidate(1.0, 0.0, plate.quad))
            if seen is None or seen.score < AGREE_SCORE or iou(seen.box, box) < AGREE_IOU:
                continue
            quad = tighten(image, seen.quad)
            if quad is not None:
                relabel.append({"file": scene.file, "plate": number, "quad": quad.tolist()})
        tight = len(relabel) > before
        if false or tight:
            weight = 1.0 + HARD_WEIGHT * false[0].score if bare else TIGHT_WEIGHT if tight else 1.0
            weights.append({"file": scene.file, "weight": weight, "spots": spots})
    (args.cache / "relabel.jsonl").write_text("".join(json.dumps(r) + "\n" for r in relabel))
    (args.cache / "weights.jsonl").write_text("".join(json.dumps(r) + "\n" for r in weights))
    print(f"{len(weights)} scenes with spots that look like plates, corners for {len(relabel)} of {boxes} boxes")


if __name__ == "__main__":
    main()
