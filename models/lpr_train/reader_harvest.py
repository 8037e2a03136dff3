"""Cuts real plates, and what is taken for plates, out of photos with the shipped detector, as the product sees them.

A picture has the pool's size and a kind: `plate` (overlaps a drawn box), `beside` (a photo with plates, away from all
of them) or `bare` (a photo without any). Texts are read by eye: `config/scene-texts.txt`.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .pipeline import Candidate, PlateDetector, iou, session
from .reader_augment import POOL_WIDTH, rectify

SCENES = ("scenes-open-images", "scenes-romania", "scenes-quads", "negatives")
LOW_THRESHOLD = 0.2
SAME_IOU = 0.25
MINIMUM_WIDTH = 20.0


@dataclass
class Harvest:
    """`images` [N, POOL_HEIGHT, POOL_WIDTH, 3]; `files` "folder/name"; `quads` [N, 4, 2]; `scores`, `kinds` [N]."""

    images: np.ndarray
    files: np.ndarray
    quads: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    @staticmethod
    def load(path: Path) -> "Harvest":
        with np.load(path) as z:
            return Harvest(z["images"], z["files"], z["quads"], z["scores"], z["kinds"])

    def save(self, path: Path) -> None:
        np.savez(path, **self.__dict__)

    def aspects(self) -> np.ndarray:
        """Height over width of each plate as it stands in the photo."""
        q = self.quads
        width = np.linalg.norm(q[:, 1] - q[:, 0], axis=1) + np.linalg.norm(q[:, 2] - q[:, 3], axis=1)
        height = np.linalg.norm(q[:, 3] - q[:, 0], axis=1) + np.linalg.norm(q[:, 2] - q[:, 1], axis=1)
        return (height / np.maximum(width, 1)).astype(np.float32)


def cut(image: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The plate in the pool's size, averaged down first where it is much larger, so that nothing aliases."""
    span = max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]))
    shrink = span / (1.2 * POOL_WIDTH)
    if shrink > 1:
        image = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        quad = quad / shrink
    return rectify(image, quad, to_pool=True)


def drawn_boxes(row: dict) -> list[np.ndarray]:
    """The boxes of a scene's plates, those of corner polygons included."""
    corners = [np.array(q, np.float32).reshape(4, 2) for q in row.get("quads", [])]
    boxes = [np.array(b, np.float32) for b in row.get("boxes", [])]
    return boxes + [np.concatenate([q.min(0), q.max(0)]) for q in corners]


def harvest_scene(detector: PlateDetector, image: np.ndarray, boxes: list[np.ndarray], bare: bool):
    """(candidate, kind) of everything the detector finds, and of drawn boxes it misses."""
    found = detector.detect(image)
    for candidate in found:
        overlap = max((iou(candidate.box, box) for box in boxes), default=0.0)
        if overlap >= SAME_IOU:
            yield candidate, "plate"
        elif overlap == 0.0:
            yield candidate, "bare" if bare else "beside"
    for box in boxes:
        x1, y1, x2, y2 = box
        if all(iou(c.box, box) < SAME_IOU for c in found):
            yield Candidate(0.0, 0.0, np.float32([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])), "plate"


def harvest(data: Path, manifest: Path) -> Harvest:
    """Everything the detector named in the manifest finds in the scenes, down to LOW_THRESHOLD."""
    spec = tomllib.loads(manifest.read_text())["detector"]
    detector = PlateDetector(session(manifest.parent / spec["file"]), spec | {"threshold": LOW_THRESHOLD})
    rows = []
    for folder in SCENES:
        for line in (data / folder / "labels.jsonl").open():
            row = json.loads(line)
            image = cv2.imread(str(data / folder / row["file"]))
            if image is None:
                raise SystemExit(f"{data / folder / row['file']}: not a readable image; check the data folder")
            image = np.ascontiguousarray(image[:, :, ::-1])
            for candidate, kind in harvest_scene(detector, image, drawn_boxes(row), folder == "negatives"):
                if np.ptp(candidate.quad[:, 0]) >= MINIMUM_WIDTH:
                    file = f"{folder}/{row['file']}"
                    rows.append((cut(image, candidate.quad), file, candidate.quad, candidate.score, kind))
    images, files, quads, scores, kinds = zip(*rows, strict=True)
    return Harvest(
        images=np.stack(images),
        files=np.array(files),
        quads=np.stack(quads).astype(np.float32),
        scores=np.array(scores, np.float32),
        kinds=np.array(kinds),
    )
