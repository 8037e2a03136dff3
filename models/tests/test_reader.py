"""The reader's data side, without PyTorch: labels, split, masks, augmentation, registration of known characters."""

import cv2
import numpy as np
import pytest
from lpr_train.reader_augment import INPUT_QUAD, POOL_HEIGHT, POOL_WIDTH, augment, rectify, spoil
from lpr_train.reader_harvest import Harvest
from lpr_train.reader_labels import (
    ALPHABET,
    INPUT_HEIGHT,
    INPUT_WIDTH,
    LAYOUTS,
    PAD,
    UNKNOWN,
    decode,
    encode,
    is_held_out,
)
from lpr_train.reader_lettering import lettering_pool
from lpr_train.reader_pool import Pool, collect, old_brazilian_category
from lpr_train.reader_rectify import plausible, register
from lpr_train.reader_scenes import assigned_texts, look_alike_pool, scene_pool, scene_texts
from lpr_train.reader_score import masked_text
from render.plate import LAYOUTS as RENDERED
from render.plate import random_text, render_plate


def test_labels_round_trip():
    rng = np.random.default_rng(0)
    for layout in RENDERED:
        for _ in range(20):
            text = random_text(layout, rng)
            assert decode(encode(text)) == text
    assert encode("A1")[2:] == [PAD] * 7
    assert len(ALPHABET) == 37 and set(RENDERED) <= set(LAYOUTS)


@pytest.mark.parametrize("text", ["", "ABCDE12345", "ABC-123", "abc1234"])
def test_bad_labels_are_refused(text):
    with pytest.raises(ValueError, match="label"):
        encode(text)


def test_split_is_by_text_and_about_the_share():
    texts = [f"ABC{i:04d}" for i in range(3000)]
    assert 0.08 < np.mean([is_held_out(t, 0.12) for t in texts]) < 0.16
    assert is_held_out(texts[5], 0.12) == is_held_out(texts[5], 0.12)


def test_mask_prefers_formats_over_the_best_characters():
    slots = np.full((9, 37), 1e-6)
    for i, char in enumerate("0BC1O34__"):
        slots[i, ALPHABET.index(char)] = 0.6
    slots[0, ALPHABET.index("O")] = 0.3
    slots[4, ALPHABET.index("0")] = 0.05
    assert masked_text(slots) == "OBC1O34"
    assert masked_text(slots, ("LLLNNNN",)) == "OBC1034"


def test_augmentation_is_deterministic_and_shaped():
    pool = np.random.default_rng(0).integers(0, 256, (POOL_HEIGHT, POOL_WIDTH, 3), np.uint8)
    for difficulty in (0.0, 0.5, 1.0):
        first, true_colors = augment(pool, 0.33, difficulty, np.random.default_rng(9))
        assert first.shape == (INPUT_HEIGHT, INPUT_WIDTH, 3) and first.dtype == np.uint8
        again = augment(pool, 0.33, difficulty, np.random.default_rng(9))
        assert np.array_equal(first, again[0]) and true_colors == again[1]
    for seed in range(8):
        spoiled = spoil(pool, 0.33, np.random.default_rng(seed))
        assert spoiled.shape == (INPUT_HEIGHT, INPUT_WIDTH, 3) and spoiled.dtype == np.uint8


def test_lettering_is_no_plate_and_always_to_be_seen():
    photos = np.random.default_rng(1).integers(90, 160, (3, POOL_HEIGHT, POOL_WIDTH, 3), np.uint8)
    first, again = (lettering_pool(photos, 4, 30) for _ in range(2))
    assert np.array_equal(first.images, again.images) and set(first.texts) == {""}
    assert (first.labels == PAD).all() and (first.layouts == UNKNOWN).all() and (first.categories == UNKNOWN).all()
    assert all(np.ptp(picture.mean(axis=2)) > 40 for picture in first.images)


def test_rectified_plate_has_the_contract_margins():
    image = np.zeros((200, 400, 3), np.uint8)
    quad = np.float32([[100, 50], [300, 70], [300, 140], [100, 120]])
    cv2.fillConvexPoly(image, quad.astype(np.int32), (255, 255, 255))
    out = rectify(image, quad)[..., 0]
    assert out[:, INPUT_WIDTH // 2].astype(bool).mean() == pytest.approx(1 / 1.16, abs=0.05)
    assert out[INPUT_HEIGHT // 2].astype(bool).mean() == pytest.approx(1 / 1.08, abs=0.03)
    assert INPUT_QUAD[0, 0] == pytest.approx(128 * 0.04 / 1.08)


def test_known_text_is_registered_to_its_corners():
    rng = np.random.default_rng(4)
    plate = render_plate("ABH2745", "br-old", "grey", rng, 0.6, wear=0.2)
    truth = np.float32([[14, 12], [222, 20], [224, 86], [16, 78]])
    height, width = plate.rgb.shape[:2]
    matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [width, 0], [width, height], [0, height]]), truth)
    crop = cv2.warpPerspective(plate.rgb, matrix, (240, 100), borderValue=(70, 60, 50))
    found = register(crop, "ABH2745")
    assert found is not None and plausible(found, crop.shape, 0.5)
    assert np.abs(found.quad - truth).max() < 6


def test_pool_keeps_what_is_not_known(tmp_path):
    picture = np.zeros((POOL_HEIGHT, POOL_WIDTH, 3), np.uint8)
    pool = collect([(picture, "ABC1234", "br-old", "private", 0.33, 90.0), (picture, "", None, None, 0.4, 30.0)])
    pool.save(tmp_path / "pool.npz")
    again = Pool.load(tmp_path / "pool.npz")
    assert list(again.texts) == ["ABC1234", ""] and list(again.labels[1]) == [PAD] * 9
    assert list(again.layouts) == [0, UNKNOWN] and list(again.categories) == [0, UNKNOWN]
    assert len(collect([])) == 0 and len(again.where(again.texts == "")) == 1


def test_old_plates_tell_their_category_by_color():
    rng = np.random.default_rng(3)
    for color, expected in (("grey", "private"), ("red", "commercial"), ("black", None)):
        plate = render_plate("ABC1234", "br-old", color, rng, 0.6, wear=0.0)
        picture = cv2.resize(plate.rgb, (POOL_WIDTH, POOL_HEIGHT))
        assert old_brazilian_category(picture) == expected


def test_texts_read_by_eye_find_their_plates(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("# comment\na.jpg 50 20 ABC123\na.jpg 200 20 !\nb.jpg 30 30 ?\n")
    middles = [(52, 21), (198, 22), (400, 20), (30, 30), (60, 60)]
    names = ["s/a.jpg", "s/a.jpg", "s/a.jpg", "s/b.jpg", "negatives/c.jpg"]
    half = np.float32([[-20, -8], [20, -8], [20, 8], [-20, 8]])
    harvest = Harvest(
        images=np.zeros((5, POOL_HEIGHT, POOL_WIDTH, 3), np.uint8),
        files=np.array(names),
        quads=np.stack([np.float32(m) + half for m in middles]),
        scores=np.float32([0.9, 0.9, 0.4, 0.9, 0.3]),
        kinds=np.array(["plate", "plate", "beside", "plate", "bare"]),
    )
    texts = assigned_texts(harvest, scene_texts(file))
    assert texts == ["ABC123", "!", None, "?", None]
    assert list(scene_pool(harvest, texts).texts) == ["ABC123"]
    learn, measured = look_alike_pool(harvest, texts, {"negatives/c.jpg"})
    assert len(learn) == 2 and len(measured) == 1
    file.write_text("a.jpg 50 ABC123\n")
    with pytest.raises(ValueError, match="photo x y text"):
        scene_texts(file)
