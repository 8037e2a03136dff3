"""The detector that ships: its contract, its hashes in the manifest, what it finds, and that its INT8 twin agrees."""

import hashlib
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from lpr_train.detector_paste import paste
from lpr_train.pipeline import PlateDetector, iou, session
from render.plate import COLORS, random_text, render_plate

pytest.importorskip("onnxruntime")
MODELS = Path(__file__).parents[1]
LAYOUTS = ["br-old", "br-mercosul", "br-mercosul-moto"]


@pytest.fixture(scope="module")
def spec():
    return tomllib.loads((MODELS / "manifest.toml").read_text())["detector"]


@pytest.fixture(scope="module", params=["file", "file_int8"])
def detector(request, spec):
    return PlateDetector(session(MODELS / spec[request.param]), spec)


def picture(layout: str, width: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A car's dark back before a bright ground, a plate on it; and the plate's corners."""
    rng = np.random.default_rng(seed)
    image = np.full((720, 1280, 3), (120, 124, 118), np.uint8)
    cv2.rectangle(image, (380, 180), (900, 560), (52, 38, 40), -1)
    cv2.rectangle(image, (450, 200), (830, 320), (25, 28, 30), -1)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    plate = render_plate(random_text(layout, rng), layout, next(iter(COLORS[layout])), rng, 0.6)
    aspect = plate.rgb.shape[1] / plate.rgb.shape[0]
    quad = np.float32([[-1, -1 / aspect], [1, -1 / aspect + 0.03], [1, 1 / aspect + 0.03], [-1, 1 / aspect]])
    quad = quad * width / 2 + np.float32([640, 440])
    assert paste(image, np.dstack([plate.rgb, plate.alpha]), quad, rng)
    return image, quad


def test_manifest_names_these_weights(spec):
    for file, digest in (("file", "sha256"), ("file_int8", "sha256_int8")):
        assert hashlib.sha256((MODELS / spec[file]).read_bytes()).hexdigest() == spec[digest]


@pytest.mark.parametrize("size", [(384, 640), (160, 256)])
def test_contract(detector, size):
    rows = detector.model.run(["quads"], {"images": np.zeros((2, 3, *size), np.float32)})[0]
    assert rows.shape == (2, sum(size[0] // s * (size[1] // s) for s in (8, 16)), 10)
    assert np.isfinite(rows).all() and rows[..., :2].min() >= 0 and rows[..., :2].max() <= 1


@pytest.mark.parametrize("width", [60, 140, 420])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_finds_drawn_plates_with_their_corners(detector, layout, width):
    image, quad = picture(layout, width, seed=5)
    best = detector.detect(image)[0]
    assert iou(best.box, np.concatenate([quad.min(0), quad.max(0)])) > 0.7
    assert np.abs(best.quad - quad).max() < 0.25 * np.linalg.norm(quad[3] - quad[0])
    assert (best.two_rows > 0.5) == layout.endswith("moto")


def test_sees_no_plate_in_an_empty_picture(detector):
    assert detector.detect(np.full((480, 640, 3), 114, np.uint8)) == []


def test_both_twins_give_the_same_corners(spec):
    both = [PlateDetector(session(MODELS / spec[key]), spec) for key in ("file", "file_int8")]
    for layout in LAYOUTS:
        image, quad = picture(layout, 120, seed=9)
        exact, fast = (model.detect(image)[0] for model in both)
        assert abs(exact.score - fast.score) < 0.15
        assert np.abs(exact.quad - fast.quad).max() < 0.12 * np.linalg.norm(quad[3] - quad[0])
