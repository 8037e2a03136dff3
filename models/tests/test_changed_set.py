"""The harder sets: boxes follow what is done to the image."""

import json

import cv2
import numpy as np
import pytest
from lpr_train.changed_set import CHANGES, add


@pytest.mark.parametrize("name", CHANGES)
def test_boxes_follow_the_plate(name):
    image = np.zeros((400, 600, 3), np.uint8)
    box = np.array([250.0, 190.0, 350.0, 222.0])
    image[190:222, 250:350] = 255
    changed, moved = CHANGES[name](image, box, np.random.default_rng(1))
    blurred = cv2.GaussianBlur(changed[:, :, 0], (0, 0), 3)
    y, x = np.nonzero(blurred > 0.5 * blurred.max())
    assert changed.shape[2] == 3
    assert np.abs(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) - moved).max() < 8


def test_images_are_numbered_and_labeled(tmp_path):
    for text in ("ABC1234", "XYZ9876"):
        add(tmp_path / "blur-br", np.zeros((20, 30, 3), np.uint8), np.array([1.0, 2, 3, 4]), text)
    rows = [json.loads(line) for line in (tmp_path / "blur-br" / "labels.jsonl").read_text().splitlines()]
    assert [r["file"] for r in rows] == ["000.jpg", "001.jpg"] and rows[1]["text"] == "XYZ9876"
    assert cv2.imread(str(tmp_path / "blur-br" / "001.jpg")) is not None
