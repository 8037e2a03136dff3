"""The detector's parts that decide quietly, without PyTorch: corner order, labels, rectification, both looks."""

import json

import cv2
import numpy as np
import pytest
from lpr_train.detector_data import SceneCache, build_cache, order_corners
from lpr_train.detector_paste import paste, random_quad
from lpr_train.detector_tighten import tighten
from lpr_train.manifest import update_hash
from lpr_train.pipeline import Candidate, PlateDetector, suppress
from lpr_train.rectify import HEIGHT, WIDTH, rectify

SPEC = {
    "width": 640,
    "height": 384,
    "max_upscale": 2.0,
    "first_threshold": 0.1,
    "nms_iou": 0.5,
    "nms_most": 256,
    "max_candidates": 4,
    "second_width": 256,
    "second_height": 160,
    "second_plate_width": 104,
    "second_aspect": 2.0,
    "second_max_upscale": 4.0,
    "second_iou": 0.2,
    "threshold": 0.35,
}


@pytest.mark.parametrize("angle_deg", [-30, -10, 0, 10, 30])
@pytest.mark.parametrize("aspect", [1.18, 3.08, 4.6])
def test_corner_order_survives_turning_and_shuffling(angle_deg, aspect):
    rng = np.random.default_rng(7)
    flat = np.array([[-aspect, -1], [aspect, -1], [aspect, 1], [-aspect, 1]]) * 20
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    quad = flat @ np.array([[c, s], [-s, c]]) + 100
    for _ in range(5):
        assert np.allclose(order_corners(rng.permutation(quad)), quad, atol=1e-3)


def test_pasted_plates_keep_their_corner_order():
    rng = np.random.default_rng(3)
    for _ in range(200):
        quad = random_quad(3.08, 80, np.array([200.0, 100.0]), rng)
        x, y = quad[:, 0], quad[:, 1]
        twice_area = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
        assert twice_area > 0 and quad[1, 0] > quad[0, 0]


def test_holders_do_not_move_the_corners_of_a_pasted_plate():
    """Whatever is drawn around it, the plate itself covers its quad: pink within, none of it outside."""
    rng = np.random.default_rng(8)
    texture = np.full((44, 208, 4), 255, np.uint8)
    texture[:, :, 1] = 0
    quad = np.float32([[100, 80], [240, 84], [238, 116], [101, 110]])
    framed = 0
    for _ in range(20):
        canvas = np.full((200, 340, 3), 60, np.uint8)
        assert paste(canvas, texture, quad, rng)
        pink = canvas[:, :, 0].astype(int) - canvas[:, :, 1]
        inside = np.zeros(pink.shape, np.uint8)
        cv2.fillConvexPoly(inside, np.round(quad).astype(int), 1)
        outside = cv2.dilate(inside, np.ones((13, 13))) == 0
        assert (pink[cv2.erode(inside, np.ones((7, 7))) > 0] > 8).mean() > 0.97
        assert (pink[outside] > 40).mean() < 0.02
        framed += (cv2.absdiff(canvas[:, :, 1], np.full(pink.shape, 60, np.uint8))[outside] > 12).any()
    assert 5 < framed < 20


@pytest.mark.parametrize("loose", [0.0, 0.1, 0.22])
def test_corners_move_from_the_holder_to_the_plate(loose):
    image = np.full((220, 420, 3), 150, np.uint8)
    plate = np.float32([[110, 80], [310, 92], [308, 136], [109, 123]])
    away = (plate - plate.mean(0)) * np.float32([1.06, 1.5]) + plate.mean(0)
    cv2.fillConvexPoly(image, np.round(away * 8).astype(int), (30, 30, 30), cv2.LINE_AA, 3)
    cv2.fillConvexPoly(image, np.round((plate - 0.5) * 8).astype(int), (225, 225, 220), cv2.LINE_AA, 3)
    for number, letter in enumerate("AB12CDE"):
        cv2.putText(image, letter, (122 + 26 * number, 116 + 2 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (20,) * 3, 2)
    rough = (plate - plate.mean(0)) * np.float32([1 + 0.2 * loose, 1 + 2 * loose]) + plate.mean(0)
    tight = tighten(image, rough)
    assert np.abs(tight[:, 1] - plate[:, 1]).max() < 1.8 and np.abs(tight[:, 0] - plate[:, 0]).max() < 6


def test_corners_stay_where_no_edge_is_clear():
    rng = np.random.default_rng(2)
    noise = rng.integers(80, 130, (220, 420, 3), dtype=np.uint8)
    assert tighten(noise, np.float32([[110, 80], [310, 92], [308, 136], [109, 123]])) is None


def test_rectified_plate_keeps_the_margins():
    image = np.zeros((200, 400, 3), np.uint8)
    quad = np.float32([[100, 60], [300, 80], [296, 150], [104, 128]])
    cv2.fillConvexPoly(image, np.round(quad).astype(int), (255, 255, 255))
    flat = rectify(image, quad)
    assert flat.shape == (HEIGHT, WIDTH, 3)
    bright = np.argwhere(flat[:, :, 0] > 127)
    (top, left), (bottom, right) = bright.min(0), bright.max(0)
    assert abs(left - 4.7) < 2 and abs(right - 123.3) < 2 and abs(top - 4.4) < 2 and abs(bottom - 59.6) < 2


class PaintedPlates:
    """Stands in for the model: answers with the bounds of what is pure white in its input."""

    def run(self, _names, feeds):
        white = np.argwhere(feeds["images"][0].min(0) > 0.97)
        if len(white) < 6:
            return [np.zeros((1, 0, 10), np.float32)]
        (y1, x1), (y2, x2) = white.min(0), white.max(0) + 1
        return [np.float32([[[0.9, 0.1, x1, y1, x2, y1, x2, y2, x1, y2]]])]


@pytest.mark.parametrize("box", [(700, 400, 780, 424), (5, 3, 60, 20), (1200, 650, 1278, 718), (100, 100, 700, 300)])
def test_both_looks_return_to_image_coordinates(box):
    image = np.full((720, 1280, 3), 60, np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    found = PlateDetector(PaintedPlates(), SPEC).detect(image)
    assert len(found) == 1
    assert np.abs(found[0].box - np.float32(box)).max() <= max(2.0, 0.02 * (x2 - x1))


def test_suppression_keeps_the_best_of_overlapping():
    def at(x, score):
        return Candidate(score, 0.0, np.float32([[x, 0], [x + 40, 0], [x + 40, 12], [x, 12]]))

    kept = suppress([at(0, 0.5), at(3, 0.9), at(100, 0.4)], 0.5)
    assert [round(c.score, 1) for c in kept] == [0.9, 0.4]


def test_cache_brings_labels_to_corners(tmp_path):
    folder = tmp_path / "scenes-open-images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((100, 1280, 3), 90, np.uint8))
    (folder / "labels.jsonl").write_text(json.dumps({"file": "a.png", "boxes": [[100, 20, 180, 40]]}) + "\n")
    build_cache(tmp_path, tmp_path / "cache", ["scenes-open-images"])
    cache = SceneCache(tmp_path / "cache")
    scene = cache.scenes[0]
    assert (scene.width, scene.height) == (640, 50) and cache.image(scene).shape == (50, 640, 3)
    assert np.allclose(scene.plates[0].quad, [[50, 10], [90, 10], [90, 20], [50, 20]])
    assert scene.plates[0].rows == 0 and not scene.plates[0].exact


def test_manifest_hash_is_written_to_its_own_table(tmp_path):
    manifest, model = tmp_path / "manifest.toml", tmp_path / "m.onnx"
    manifest.write_text('[detector]\nsha256 = ""\n\n[reader]\nsha256 = ""\n')
    model.write_bytes(b"weights")
    update_hash(manifest, "reader", model)
    detector, reader = manifest.read_text().split("[reader]")
    assert 'sha256 = ""' in detector and len(reader.split('"')[1]) == 64


def test_a_missing_hash_is_not_looked_for_in_the_next_table(tmp_path):
    manifest, model = tmp_path / "manifest.toml", tmp_path / "m.onnx"
    manifest.write_text('[detector]\nsha256 = ""\n\n[reader]\nsha256_int8 = ""\n')
    model.write_bytes(b"weights")
    with pytest.raises(SystemExit, match="sha256_int8"):
        update_hash(manifest, "detector", model, key="sha256_int8")
