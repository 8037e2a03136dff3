"""Scenes for the detector, decoded once into a flat uint8 cache, with labels brought to one form.

Every label becomes a `Plate`: four corners (top-left, top-right, bottom-right, bottom-left), whether they are exact or
only the corners of a box, and the number of rows where it is known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

MAX_SIDE_PX = 640
# Boxes wider than this many heights belong to one-row plates whatever the country.
ONE_ROW_ASPECT = 2.6


@dataclass
class Plate:
    quad: np.ndarray  # float32 [4,2]
    exact: bool
    rows: int  # 0 one row, 1 two rows, -1 unknown


@dataclass
class Scene:
    source: str
    file: str
    offset: int
    height: int
    width: int
    plates: list[Plate] = field(default_factory=list)
    ignore: list[np.ndarray] = field(default_factory=list)  # boxes float32 [4]: no verdict inside
    weight: float = 1.0
    spots: list[list[float]] = field(default_factory=list)  # x, y, width of what was taken for a plate and is none


def order_corners(quad: np.ndarray) -> np.ndarray:
    """Corners as top-left, top-right, bottom-right, bottom-left: clockwise, the top edge pointing right."""
    center = quad.mean(0)
    angles = np.arctan2(quad[:, 1] - center[1], quad[:, 0] - center[0])
    ring = quad[np.argsort(angles)]
    edges = np.roll(ring, -1, axis=0) - ring
    lengths = np.linalg.norm(edges, axis=1) + 1e-6
    # Long edges say more about the direction of the text than short ones.
    start = int(np.argmax(edges[:, 0] / lengths + 0.2 * edges[:, 0] / lengths.max()))
    return np.roll(ring, -start, axis=0).astype(np.float32)


def box_quad(box: list[float]) -> np.ndarray:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def _labels(row: dict, source: str, scale: float, area: float) -> tuple[list[Plate], list[np.ndarray]] | None:
    """Plates and regions without a verdict of one label row, or None where the image is of no use."""
    plates, ignore = [], []
    for flat in row.get("quads", []):
        quad = order_corners(np.array(flat, np.float32).reshape(4, 2) * scale)
        # Two-line plates of Indian motorcycles are as wide as one-line ones: the shape does not tell the rows here.
        plates.append(Plate(quad, True, -1))
    for box in row.get("boxes", []):
        scaled = [v * scale for v in box]
        width, height = scaled[2] - scaled[0], scaled[3] - scaled[1]
        if width < 3 or height < 2:
            continue
        if source == "scenes-quads":
            # Loose boxes of plates photographed askew: they neither teach corners nor count as background.
            if width * height > 0.25 * area:
                return None
            ignore.append(np.array(scaled, np.float32))
            continue
        plates.append(Plate(box_quad(scaled), False, 0 if width > ONE_ROW_ASPECT * height else -1))
    return plates, ignore


def build_cache(data: Path, cache: Path, sources: list[str]) -> None:
    """Decode and shrink every image of `sources` into `cache/scenes.u8`, with `cache/scenes.jsonl` beside it."""
    cache.mkdir(parents=True, exist_ok=True)
    index, offset = [], 0
    with (cache / "scenes.u8.part").open("wb") as out:
        for source in sources:
            for line in (data / source / "labels.jsonl").read_text().splitlines():
                row = json.loads(line)
                image = cv2.imread(str(data / source / row["file"]))
                if image is None:
                    raise SystemExit(
                        f"{data / source / row['file']}: not a readable image; remove its label or restore it"
                    )
                scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
                labels = _labels(row, source, scale, image.shape[0] * image.shape[1] * scale * scale)
                if labels is None:
                    continue
                if scale < 1.0:
                    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                rgb = np.ascontiguousarray(image[:, :, ::-1])
                plates, ignore = labels
                index.append(
                    {
                        "source": source,
                        "file": row["file"],
                        "offset": offset,
                        "height": rgb.shape[0],
                        "width": rgb.shape[1],
                        "plates": [{"quad": p.quad.tolist(), "exact": p.exact, "rows": p.rows} for p in plates],
                        "ignore": [b.tolist() for b in ignore],
                    }
                )
                out.write(rgb.tobytes())
                offset += rgb.nbytes
    (cache / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    (cache / "scenes.u8.part").rename(cache / "scenes.u8")


class SceneCache:
    """The decoded scenes, memory-mapped. `relabel.jsonl` beside the cache replaces box corners by measured ones,
    `weights.jsonl` says how often a scene is drawn and what in it was taken for a plate (hard negatives)."""

    def __init__(self, cache: Path) -> None:
        self.pixels = np.memmap(cache / "scenes.u8", np.uint8, "r")
        self.scenes: list[Scene] = []
        by_file: dict[str, Scene] = {}
        for line in (cache / "scenes.jsonl").read_text().splitlines():
            row = json.loads(line)
            plates = [Plate(np.array(p["quad"], np.float32), p["exact"], p["rows"]) for p in row["plates"]]
            ignore = [np.array(b, np.float32) for b in row["ignore"]]
            scene = Scene(row["source"], row["file"], row["offset"], row["height"], row["width"], plates, ignore)
            self.scenes.append(scene)
            by_file[scene.file] = scene
        for row in _optional_rows(cache / "relabel.jsonl"):
            plate = by_file[row["file"]].plates[row["plate"]]
            plate.quad, plate.exact = np.array(row["quad"], np.float32), True
        for row in _optional_rows(cache / "weights.jsonl"):
            by_file[row["file"]].weight, by_file[row["file"]].spots = row["weight"], row["spots"]
        self.by_source: dict[str, list[Scene]] = {}
        for scene in self.scenes:
            self.by_source.setdefault(scene.source, []).append(scene)
        self._cumulative = {source: np.cumsum([s.weight for s in scenes]) for source, scenes in self.by_source.items()}

    def image(self, scene: Scene) -> np.ndarray:
        """RGB uint8 [H,W,3], read-only."""
        size = scene.height * scene.width * 3
        return self.pixels[scene.offset : scene.offset + size].reshape(scene.height, scene.width, 3)

    def draw(self, source: str, rng: np.random.Generator) -> Scene:
        cumulative = self._cumulative[source]
        return self.by_source[source][int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))]


def _optional_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
