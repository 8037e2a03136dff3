"""The reader that ships: its contract, its hash in the manifest, and that it reads plates of our own layouts."""

import hashlib
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from lpr_train.reader_augment import rectify
from lpr_train.reader_labels import ALPHABET, CATEGORIES, LAYOUTS, SLOTS, decode
from render.plate import COLORS, category, random_text, render_plate

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
    assert tuple(manifest["categories"]) == CATEGORIES


def test_contract(reader):
    plates = reader.get_inputs()[0]
    assert (plates.name, plates.type, plates.shape[1:]) == ("plates", "tensor(uint8)", [64, 128, 3])
    names = ["slots", "layout", "category", "plate"]
    slots, layout, category, plate = reader.run(names, {"plates": np.zeros((3, 64, 128, 3), np.uint8)})
    assert slots.shape == (3, SLOTS, len(ALPHABET)) and layout.shape == (3, len(LAYOUTS))
    assert category.shape == (3, len(CATEGORIES)) and plate.shape == (3, 1)
    assert all(np.allclose(p.sum(axis=-1), 1, atol=1e-4) for p in (slots, layout, category))
    assert ((plate >= 0) & (plate <= 1)).all()


@pytest.mark.parametrize("layout", ["br-old", "br-old-moto", "br-mercosul", "br-mercosul-moto"])
def test_reads_brazilian_plates(reader, manifest, layout):
    rng = np.random.default_rng(11)
    right, named, meant, seen, count = 0, 0, 0, 0, 12
    for i in range(count):
        text = random_text(layout, rng)
        color = list(COLORS[layout])[i % len(COLORS[layout])]
        plate = render_plate(text, layout, color, rng, 0.6)
        height, width = plate.rgb.shape[:2]
        picture = np.pad(plate.rgb, ((height // 4,) * 2, (width // 4,) * 2, (0, 0)), constant_values=70)
        x, y = width // 4, height // 4
        quad = np.float32([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
        inputs = {"plates": rectify(picture, quad)[None]}
        slots, kinds, categories, readable = reader.run(["slots", "layout", "category", "plate"], inputs)
        right += decode(slots[0].argmax(axis=1)) == text
        named += LAYOUTS[kinds[0].argmax()] == layout
        meant += CATEGORIES[categories[0].argmax()] == category(layout, color)
        seen += readable[0, 0] >= manifest["plate_threshold"]
    assert right >= count - 1 and named == count and meant >= count - 3 and seen == count


def test_tells_what_is_no_plate(reader, manifest):
    rng = np.random.default_rng(5)
    noise = cv2.resize(rng.integers(0, 255, (5, 9, 3), np.uint8), (128, 64), interpolation=cv2.INTER_CUBIC)
    fence = np.repeat(np.where(np.arange(128) % 12 < 5, 40, 190).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    word = np.full((64, 128, 3), 235, np.uint8)
    cv2.putText(word, "Chocolate", (4, 40), cv2.FONT_HERSHEY_SCRIPT_COMPLEX, 0.8, (30, 30, 30), 1, cv2.LINE_AA)
    plate = reader.run(["plate"], {"plates": np.stack([noise, fence, word])})[0]
    assert (plate < manifest["plate_threshold"]).all()
