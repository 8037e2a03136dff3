"""The plate renderer: every layout and color draws, the same seed gives the same picture, geometry is right."""

import numpy as np
import pytest
from render.geometry import BLANKS
from render.glyphs import FACES, glyph_mask
from render.patterns import EUROPE, MARKS, MAX_TEXT, PATTERNS, fits, set_in
from render.plate import CATEGORIES, COLORS, LAYOUTS, category, random_color, random_text, render_plate


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_color_renders_with_the_blank_size(layout):
    rng = np.random.default_rng(7)
    sizes = {(round(b.height * 1.5), round(b.width * 1.5)) for b in BLANKS[layout]}
    for color in COLORS[layout]:
        plate = render_plate(random_text(layout, rng), layout, color, rng)
        assert plate.rgb.shape[:2] in sizes
        assert plate.rgb.dtype == np.uint8
        assert plate.alpha.shape == plate.rgb.shape[:2]
        assert plate.alpha[0, 0] < 128 < plate.alpha[plate.alpha.shape[0] // 2, plate.alpha.shape[1] // 2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_seed_same_picture(layout):
    pictures = []
    for _ in range(2):
        rng = np.random.default_rng(42)
        text, color = random_text(layout, rng), random_color(layout, rng)
        pictures.append(render_plate(text, layout, color, rng, 0.8))
    assert pictures[0].text == pictures[1].text
    assert np.array_equal(pictures[0].rgb, pictures[1].rgb)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_character_boxes_lie_inside_and_in_reading_order(layout):
    rng = np.random.default_rng(3)
    for _ in range(20):
        plate = render_plate(random_text(layout, rng), layout, random_color(layout, rng), rng, 1.0)
        boxes = np.array(plate.char_boxes)
        height, width = plate.rgb.shape[:2]
        assert len(boxes) == len(plate.text)
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        rows = [boxes[boxes[:, 1] == top] for top in sorted(set(boxes[:, 1]))]
        assert len(rows) == plate.rows
        for row in rows:
            assert (np.diff(row[:, 0]) > 0).all()


def test_characters_are_where_the_boxes_say():
    rng = np.random.default_rng(5)
    plate = render_plate("HHH8888", "br-old", "white", rng, 2.0, wear=0.0)
    for x1, y1, x2, y2 in plate.char_boxes:
        box = plate.rgb[int(y1) : int(y2), int(x1) : int(x2)].mean(axis=2)
        assert 0.3 < (box < 90).mean() < 0.75


def test_brazilian_patterns():
    rng = np.random.default_rng(1)
    assert random_text("br-old", rng)[:3].isalpha() and random_text("br-old", rng)[3:].isdigit()
    assert random_text("br-mercosul", rng)[4].isalpha()
    assert all(len(random_text(layout, rng)) <= MAX_TEXT for layout in LAYOUTS for _ in range(50))


def test_forms_fit_the_slots_and_their_texts():
    for form in (form for forms in PATTERNS.values() for form in forms):
        assert len([k for k in form if k not in MARKS]) <= MAX_TEXT, form
    assert fits("LL|NNN-LL", "ZG123AB") and not fits("LL|NNN-LL", "Z1123AB")
    assert set_in("LL|NNN-LL", "ZG123AB") == "ZG|123-AB"
    assert {"SK", "CZ", "D", "PL", "A", "H"} <= {series.code for series in EUROPE}


def test_every_brazilian_color_means_its_own_category():
    named = set(CATEGORIES) - {"other"}
    for layout in ("br-old", "br-old-moto", "br-mercosul", "br-mercosul-moto"):
        assert {category(layout, color) for color in COLORS[layout]} == named
    assert category("br-old", "white") == "official" and category("br-mercosul", "golden") == "diplomatic"
    assert category("us", "white") == "other"
    with pytest.raises(KeyError, match="golden"):
        category("br-old", "golden")


@pytest.mark.parametrize("text", ["A", "1I", "ABC", "ABCDEFGHI", "WWWWWWW", "111111111", "GWAGEN"])
@pytest.mark.parametrize("layout", ["eu", "us", "other", "mercosur"])
def test_texts_of_no_series_are_drawn_too(layout, text):
    for seed in range(8):
        plate = render_plate(text, layout, next(iter(COLORS[layout])), np.random.default_rng(seed), 0.7)
        assert len(plate.char_boxes) == len(text)


def test_faces_are_complete_and_inked():
    for name, face in FACES.items():
        assert set(face) == set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        for char in face:
            mask = glyph_mask(name, char, 15)
            assert mask[0].max() > 0 and mask[-1].max() > 0, f"{char} of {name} does not fill its height"


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="ABC-1234"):
        render_plate("ABC-1234", "br-old", "grey", rng)
    with pytest.raises(KeyError):
        render_plate("ABC1234", "atlantis", "grey", rng)
