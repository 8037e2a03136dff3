"""The reader's data side, without PyTorch: labels, split, masks, augmentation, registration of known characters."""

import cv2
import numpy as np
import pytest
from lpr_train.reader_augment import INPUT_QUAD, POOL_HEIGHT, POOL_WIDTH, augment, rectify
from lpr_train.reader_labels import (
    ALPHABET,
    INPUT_HEIGHT,
    INPUT_WIDTH,
    LAYOUTS,
    PAD,
    decode,
    encode,
    fix_old_brazilian,
    is_held_out,
)
from lpr_train.reader_rectify import plausible, register
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


def test_guesses_are_fixed_by_position():
    assert fix_old_brazilian("0MB0816") == "OMB0816"
    assert fix_old_brazilian("HJC2Q63") == "HJC2063"
    assert fix_old_brazilian("DRC7529") is None and fix_old_brazilian("ABC2D34") is None
    assert fix_old_brazilian("ABC12345") is None and fix_old_brazilian("ABCW234") is None


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
        first = augment(pool, 0.33, difficulty, np.random.default_rng(9))
        assert first.shape == (INPUT_HEIGHT, INPUT_WIDTH, 3) and first.dtype == np.uint8
        assert np.array_equal(first, augment(pool, 0.33, difficulty, np.random.default_rng(9)))


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
