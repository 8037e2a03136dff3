"""The reader's second view: only of plates that are unsure, and both count alike."""

import numpy as np
import pytest
from lpr_train.pipeline import Candidate, PlateReader
from lpr_train.reader_labels import ALPHABET, LAYOUTS, PAD, SLOTS

QUAD = np.float32([[20, 20], [120, 20], [120, 60], [20, 60]])


class Reads:
    """Reads `1` with the first probability, then with the second, otherwise `I`."""

    def __init__(self, *probabilities: float):
        self.left = list(probabilities)

    def run(self, outputs, inputs):
        p = self.left.pop(0)
        slots = np.full((1, SLOTS, len(ALPHABET)), 1e-9, np.float32)
        slots[..., PAD] = 1
        slots[0, 0] = 1e-9
        slots[0, 0, ALPHABET.index("1")], slots[0, 0, ALPHABET.index("I")] = p, 1 - p
        layout = np.full((1, len(LAYOUTS)), 0.02, np.float32)
        layout[0, LAYOUTS.index("us")] = 0.86
        found = {"slots": slots, "layout": layout, "plate": np.float32([[p]])}
        return [found[name] for name in outputs]


def read(model: Reads):
    spec = {
        "alphabet": ALPHABET,
        "layouts": LAYOUTS,
        "plate_threshold": 0.5,
        "margin_x": 0.05,
        "margin_y": 0.1,
        "second_margin_x": 0.08,
        "second_margin_y": 0.08,
        "second_below": 0.9,
    }
    return PlateReader(model, spec).read(np.zeros((80, 140, 3), np.uint8), Candidate(0.9, 0.0, QUAD))


def test_sure_plates_are_read_once():
    model = Reads(0.95, 0.1)
    assert read(model).text == "1" and model.left == [0.1]


def test_the_surer_view_decides():
    result = read(Reads(0.4, 0.97))
    assert result.text == "1" and result.plate == pytest.approx((0.4 + 0.97) / 2)
    assert np.allclose(result.slots.sum(1), 1) and 0.5 < result.slots[0, 1] < 0.97
    assert read(Reads(0.6, 0.02)).text == "I"
