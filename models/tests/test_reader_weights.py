"""The reader that ships: its contract, its hash in the manifest, and that it reads plates of our own layouts."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
from lpr_train.reader_augment import rectify
from lpr_train.reader_labels import ALPHABET, LAYOUTS, SLOTS, decode
from render.plate import COLORS, random_text, render_plate

onnxruntime = pytest.importorskip("onnxruntime")
MODELS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def manifest():
    return tomllib.loads((MODELS / "manifest.toml").read_text())["reader"]


@pytest.fixture(scope="module")
def reader(manifest):
    return onnxruntime.InferenceSession(str(MODELS / manifest["file"]), providers=["CPUExecutionProvider"])


def test_manifest_names_these_weights(manifest):
    assert hashlib.sha256((MODELS / manifest["file"]).read_bytes()).hexdigest() == manifest["sha256"]
    assert manifest["alphabet"] == ALPHABET and tuple(manifest["layouts"]) == LAYOUTS


def test_contract(reader):
    plates = reader.get_inputs()[0]
    assert (plates.name, plates.type, plates.shape[1:]) == ("plates", "tensor(uint8)", [64, 128, 3])
    slots, layout = reader.run(["slots", "layout"], {"plates": np.zeros((3, 64, 128, 3), np.uint8)})
    assert slots.shape == (3, SLOTS, len(ALPHABET)) and layout.shape == (3, len(LAYOUTS))
    assert np.allclose(slots.sum(axis=2), 1, atol=1e-4) and np.allclose(layout.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("layout", ["br-old", "br-old-moto", "br-mercosul", "br-mercosul-moto"])
def test_reads_brazilian_plates(reader, layout):
    rng = np.random.default_rng(11)
    right, named, count = 0, 0, 12
    for i in range(count):
        text = random_text(layout, rng)
        plate = render_plate(text, layout, list(COLORS[layout])[i % len(COLORS[layout])], rng, 0.6)
        height, width = plate.rgb.shape[:2]
        picture = np.pad(plate.rgb, ((height // 4,) * 2, (width // 4,) * 2, (0, 0)), constant_values=70)
        x, y = width // 4, height // 4
        quad = np.float32([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
        slots, kinds = reader.run(None, {"plates": rectify(picture, quad)[None]})
        right += decode(slots[0].argmax(axis=1)) == text
        named += LAYOUTS[kinds[0].argmax()] == layout
    assert right >= count - 1 and named == count
