"""Reference inference: image to plates with corners and text. The box does the same; `models/README.md` says how.

First look: the whole image letterboxed to a fixed area. Second look: around each candidate, scaled so that the plate is
as wide as the detector measures best. The second look's corners and score replace the first's.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .rectify import rectify

if TYPE_CHECKING:
    import onnxruntime

GRAY = 114


@dataclass
class Candidate:
    score: float
    two_rows: float
    quad: np.ndarray  # float32 [4,2], image pixels

    @property
    def box(self) -> np.ndarray:
        return np.concatenate([self.quad.min(0), self.quad.max(0)])


@dataclass
class Reading:
    candidate: Candidate
    text: str
    confidence: float
    layout: str
    slots: np.ndarray = field(repr=False)
    category: str = ""
    plate: float = 1.0  # probability that there is a readable plate


def iou(a: np.ndarray, b: np.ndarray) -> float:
    inter = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inter
    return float(inter / max(union, 1e-6))


def suppress(candidates: list[Candidate], limit: float, most: int = 256) -> list[Candidate]:
    """Greedy NMS on the bounding boxes of the corners, best score first; only the best `most` take part."""
    left = sorted(candidates, key=lambda c: -c.score)[:most]
    boxes = np.array([c.box for c in left], np.float32).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    order = np.arange(len(left))
    kept: list[Candidate] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(left[best])
        low, high = np.maximum(boxes[order, :2], boxes[best, :2]), np.minimum(boxes[order, 2:], boxes[best, 2:])
        inter = np.clip(high - low, 0, None).prod(1)
        order = order[inter <= limit * np.maximum(areas[order] + areas[best] - inter, 1e-6)]
    return kept


def session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    # Only who runs a model needs ONNX Runtime: the two looks are tested without it.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class PlateDetector:
    """The detector with both looks; `spec` is its table in manifest.toml."""

    def __init__(self, model: onnxruntime.InferenceSession, spec: dict) -> None:
        self.model, self.spec = model, spec

    def detect(self, image: np.ndarray, least: float | None = None) -> list[Candidate]:
        """Plates of an RGB uint8 image, best first, from the score `least` on (`threshold` where not given)."""
        s = self.spec
        least = s["threshold"] if least is None else least
        first = suppress(self.look(image, *self.first_frame(image)), s["nms_iou"], s["nms_most"])[: s["max_candidates"]]
        second = [c for c in (self.look_again(image, c) for c in first) if c is not None]
        return [c for c in suppress(second, s["nms_iou"], s["nms_most"]) if c.score >= least]

    def first_frame(self, image: np.ndarray) -> tuple[float, float, float, int, int]:
        """The whole image at the area of the input size: x0, y0, scale, input width, input height."""
        s = self.spec
        height, width = image.shape[:2]
        scale = min(s["max_upscale"], math.sqrt(s["width"] * s["height"] / (width * height)))
        out_w, out_h = (max(32, round(v * scale / 32) * 32) for v in (width, height))
        return 0.0, 0.0, min(out_w / width, out_h / height), out_w, out_h

    def look(
        self, image: np.ndarray, x0: float, y0: float, scale: float, out_w: int, out_h: int, low: float | None = None
    ) -> list[Candidate]:
        """Candidates in the window that begins at x0, y0 (image pixels) and is scaled into out_w x out_h."""
        x1, y1 = math.floor(x0), math.floor(y0)
        x2, y2 = math.ceil(x0 + out_w / scale), math.ceil(y0 + out_h / scale)
        cx1, cy1, cx2, cy2 = max(x1, 0), max(y1, 0), min(x2, image.shape[1]), min(y2, image.shape[0])
        canvas = np.full((out_h, out_w, 3), GRAY, np.uint8)
        if cx2 - cx1 < 1 or cy2 - cy1 < 1:
            return []
        part = image[cy1:cy2, cx1:cx2]
        size = (max(1, round((cx2 - cx1) * scale)), max(1, round((cy2 - cy1) * scale)))
        resized = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        dx, dy = round((cx1 - x1) * scale), round((cy1 - y1) * scale)
        resized = resized[: out_h - dy, : out_w - dx]
        canvas[dy : dy + resized.shape[0], dx : dx + resized.shape[1]] = resized
        batch = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32) / 255
        rows = self.model.run(None, {"images": batch})[0][0]
        rows = rows[rows[:, 0] >= (self.spec["first_threshold"] if low is None else low)]
        found = []
        for row in rows:
            quad = (row[2:].reshape(4, 2) - [dx, dy]) / [size[0] / (cx2 - cx1), size[1] / (cy2 - cy1)] + [cx1, cy1]
            found.append(Candidate(float(row[0]), float(row[1]), quad.astype(np.float32)))
        return found

    def look_again(self, image: np.ndarray, c: Candidate) -> Candidate | None:
        """The candidate measured at its best size, or None where a closer look finds no plate."""
        s = self.spec
        box = c.box
        # Tall plates count by their height, else two-row plates would be looked at twice too large.
        span = max(box[2] - box[0], s["second_aspect"] * (box[3] - box[1]), 4.0)
        scale = min(s["second_plate_width"] / span, s["second_max_upscale"])
        w, h = s["second_width"], s["second_height"]
        x0, y0 = (box[0] + box[2]) / 2 - w / 2 / scale, (box[1] + box[3]) / 2 - h / 2 / scale
        found = suppress(self.look(image, x0, y0, scale, w, h), s["nms_iou"], s["nms_most"])
        near = [f for f in found if iou(f.box, box) >= s["second_iou"]]
        return max(near, key=lambda f: f.score) if near else None


# No single view may veto a character.
FLOOR = 1e-4
# American presses stamp 1 and I much alike, and most series leave I out: so much of an I counts there. The box also
# favors the forms that series there have (daemon/src/lpr/american.rs).
AMERICAN_I = 0.25
FORMATS = {"LLLNNNN": "br-old", "LLLNLNN": "br-mercosul"}


class PlateReader:
    """Slots to text; Brazilian layouts are read under their formats, all others freely."""

    def __init__(self, model: onnxruntime.InferenceSession, spec: dict) -> None:
        self.model, self.spec = model, spec
        # The last two only where the manifest says what they mean.
        optional = {"category": "categories", "plate": "plate_threshold"}
        self.outputs = ["slots", "layout", *(name for name, key in optional.items() if key in spec)]
        alphabet = spec["alphabet"]
        self.masks = {
            form: np.stack([[a.isalpha() if f == "L" else a.isdigit() for a in alphabet] for f in form])
            for form in FORMATS
        }

    def read(self, image: np.ndarray, candidate: Candidate, brazilian: bool | None = None) -> Reading:
        """`brazilian` forces the grammar on or off; None lets the layout decide."""
        out = self._view(image, candidate, self.spec["margin_x"], self.spec["margin_y"])
        if out["slots"].max(1).prod() < self.spec.get("second_below", 0):
            again = self._view(image, candidate, self.spec["second_margin_x"], self.spec["second_margin_y"])
            out = {output: _fused(value, again[output], output == "plate") for output, value in out.items()}
        name = self.spec["layouts"][int(out["layout"].argmax())]
        logp = np.log(np.maximum(out["slots"], 1e-9))
        use = name.startswith("br-") if brazilian is None else brazilian
        american = float(out["layout"][self.spec["layouts"].index("us")]) if "us" in self.spec["layouts"] else 0.0
        text, mean = self._masked(logp) if use else self._free(logp, american)
        reading = Reading(candidate, text, float(np.exp(mean)), name, out["slots"])
        if "category" in out:
            reading.category = self.spec["categories"][int(out["category"].argmax())]
        if "plate" in out:
            reading.plate = float(out["plate"][0])
        return reading

    def _view(self, image: np.ndarray, candidate: Candidate, margin_x: float, margin_y: float) -> dict[str, np.ndarray]:
        """The model's outputs for the plate with these margins."""
        upright = rectify(image, candidate.quad, margin_x, margin_y)
        values = self.model.run(self.outputs, {"plates": upright[None]})
        return {output: value[0] for output, value in zip(self.outputs, values, strict=True)}

    def _free(self, logp: np.ndarray, american: float) -> tuple[str, float]:
        logp = logp.copy()
        logp[:, self.spec["alphabet"].index("I")] += math.log(1 - american * (1 - AMERICAN_I))
        best = logp.argmax(1)
        text = "".join(self.spec["alphabet"][i] for i in best)
        end = text.find("_")
        text = text if end < 0 else text[:end]
        return text, float(logp.max(1)[: max(1, len(text))].mean())

    def _masked(self, logp: np.ndarray) -> tuple[str, float]:
        choices = []
        for form, mask in self.masks.items():
            rows = np.where(mask, logp[: len(form)], -np.inf)
            text = "".join(self.spec["alphabet"][i] for i in rows.argmax(1))
            choices.append((float(rows.max(1).sum()), text, len(form)))
        total, text, length = max(choices)
        return text, total / length


def _fused(first: np.ndarray, second: np.ndarray, mean: bool) -> np.ndarray:
    """Two views of the same pixels: the mean of the log-probabilities; a single value is averaged as it is."""
    if mean:
        return (first + second) / 2
    logs = (np.log(np.maximum(first, FLOOR)) + np.log(np.maximum(second, FLOOR))) / 2
    shares = np.exp(logs - logs.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def load(manifest: Path, int8: bool = False) -> tuple[PlateDetector, PlateReader | None]:
    """The models named in manifest.toml, with `int8` their twins where there are any; the reader is None while it has
    no weights."""
    spec = tomllib.loads(manifest.read_text())

    def model(table: dict) -> Path:
        return manifest.parent / (table.get("file_int8", table["file"]) if int8 else table["file"])

    detector = PlateDetector(session(model(spec["detector"])), spec["detector"])
    reader = spec.get("reader")
    if reader is None or not model(reader).exists():
        return detector, None
    return detector, PlateReader(session(model(reader)), reader)
