"""The rendered measuring set: texts kept out of training, true corners, the same pixels for the same seed."""

import json

import cv2
import numpy as np
import pytest
from lpr_train.reader_labels import is_held_out
from lpr_train.rendered_set import LAYOUTS, NARROWEST, write_set

COUNT = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("rendered-br")
    write_set(out, COUNT, 5)
    return out


def rows(folder):
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def test_labels_tell_layout_category_and_a_text_no_reader_learned(folder):
    labels = rows(folder)
    assert [label["layout"] for label in labels] == list(LAYOUTS)
    for label in labels:
        assert is_held_out(label["text"], 0.12) and len(label["text"]) == 7
        assert label["category"] != "other"
        assert NARROWEST[label["layout"]] * 0.8 <= label["width"] <= 240


def test_the_plate_is_where_its_corners_say(folder):
    for label in rows(folder):
        image = cv2.imread(str(folder / label["file"]))
        quad = np.array(label["quad"]).reshape(4, 2)
        assert (quad > 0).all() and (quad < image.shape[1::-1]).all()
        assert label["box"] == pytest.approx([*quad.min(0), *quad.max(0)], abs=0.11)
        inside = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), np.int32(quad), 1).astype(bool)
        grown = quad.mean(0) + 1.6 * (quad - quad.mean(0))
        around = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), np.int32(grown), 1).astype(bool) & ~inside
        assert abs(image[inside].mean() - image[around].mean()) > 8
        assert image[inside].std() > 15


def test_the_same_seed_writes_the_same_pictures(folder, tmp_path):
    write_set(tmp_path, 1, 5)
    name = rows(folder)[0]["file"]
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
