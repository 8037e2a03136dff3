"""Draws one licence plate, deterministic for a given generator: blank, band and strip, characters, wear.

Lengths are millimeters until the canvas scales them; the canvas is supersampled and averaged down at the end.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from . import furniture
from .canvas import Canvas
from .geometry import BLANKS, COLORS, LAYOUTS, Blank, Color, Row, random_pattern, text_rows
from .glyphs import glyph_width

__all__ = ["COLORS", "LAYOUTS", "PlateImage", "random_color", "random_text", "render_plate"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
# Most American and many European series leave out letters that look like digits: how often, where it is not never.
CONFUSABLE = "IOQ"
AVOIDED = {"us": 0.85, "eu": 0.5}


@dataclass
class PlateImage:
    """A plate seen straight on. Its four corners are the image's; `alpha` (0..255) leaves out rounded corners.

    `char_boxes` are `[x1, y1, x2, y2]` in pixels, in reading order; `rows` is 1 or 2.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    text: str
    layout: str
    color: str
    rows: int
    char_boxes: list[list[float]] = field(default_factory=list)


def random_text(layout: str, rng: np.random.Generator) -> str:
    """A text in one of the layout's patterns, without separators."""
    out = []
    for kind in random_pattern(layout, rng).replace(" ", ""):
        if kind == "A":
            kind = "LN"[int(rng.integers(2))]
        choices = LETTERS if kind == "L" else DIGITS
        char = choices[rng.integers(len(choices))]
        while char in CONFUSABLE and rng.random() < AVOIDED.get(layout, 0.0):
            char = choices[rng.integers(len(choices))]
        out.append(char)
    return "".join(out)


def random_color(layout: str, rng: np.random.Generator) -> str:
    """A color of the layout; the first (private vehicles) about every second time."""
    names = list(COLORS[layout])
    return names[0] if rng.random() < 0.45 else names[rng.integers(len(names))]


def render_plate(
    text: str, layout: str, color: str, rng: np.random.Generator, px_per_mm: float = 1.5, wear: float = 0.5
) -> PlateImage:
    """Draw `text` (A-Z, 0-9) on a blank of `layout`. `wear` 0 is fresh from the press, 1 is dirty and scratched.

    Raises KeyError for an unknown layout or color and ValueError for a text no plate of nine characters can hold.
    """
    if not 1 <= len(text) <= 9 or any(c not in LETTERS + DIGITS for c in text):
        raise ValueError(f"plate text {text!r}: expected 1 to 9 characters of A-Z and 0-9")
    blanks, paint = BLANKS[layout], COLORS[layout][color]
    blank = blanks[rng.integers(len(blanks))]
    while len(text) < 3 and len(blank.rows) == 2:
        blank = blanks[rng.integers(len(blanks))]
    canvas = Canvas(blank.width, blank.height, px_per_mm, _tinted(paint.background, rng))
    furniture.draw(canvas, layout, color, blank, paint, rng)
    boxes = []
    for row, line in zip(blank.rows, text_rows(text, blank, layout, rng), strict=True):
        boxes += _draw_row(canvas, blank, row, line, paint, layout, rng)
    furniture.border_and_screws(canvas, blank, paint, layout, rng)
    if layout == "us" and rng.random() < 0.35:
        furniture.dealer_frame(canvas, blank, rng)
    rgb = canvas.finish()
    _wear(rgb, wear, rng)
    scale_x, scale_y = rgb.shape[1] / blank.width, rgb.shape[0] / blank.height
    return PlateImage(
        rgb=rgb,
        alpha=canvas.corner_mask(blank.corner),
        text=text,
        layout=layout,
        color=color,
        rows=len(blank.rows),
        char_boxes=[[x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y] for x1, y1, x2, y2 in boxes],
    )


def _draw_row(
    canvas: Canvas, blank: Blank, row: Row, line: str, paint: Color, layout: str, rng: np.random.Generator
) -> list[list[float]]:
    """Set one line centered between the blank's bounds, squeezed when it is too long; returns the boxes in mm."""
    stroke = round(row.stroke * rng.uniform(0.92, 1.1))
    scale = row.height / 100
    loose = layout in ("eu", "us", "other", "mercosur")
    gap = row.gap * (rng.uniform(0.6, 1.5) if loose else rng.uniform(0.85, 1.1))
    # The bare bar of 1 and I stands in a wider cell than its ink, else "11" would read as one thick stroke.
    pad = [8 * scale if glyph_width(blank.face, c) < 18 and c in "1I" else 0.0 for c in line]
    widths = [glyph_width(blank.face, c) * scale for c in line]
    total = sum(widths) + 2 * sum(pad) + gap * (len(line) - 1)
    squeeze = min(1.0, (blank.right - blank.left) / total)
    if loose:
        squeeze *= rng.uniform(0.78, 1.0)
    slack = blank.right - blank.left - total * squeeze
    x = blank.left + slack * (rng.uniform(0.3, 0.7) if loose else rng.uniform(0.45, 0.55))
    boxes = []
    for char, width, side in zip(line, widths, pad, strict=True):
        x += side * squeeze
        if char == "|":
            furniture.emblem(canvas, x, row, width * squeeze, layout, rng)
        elif char != " ":
            canvas.glyph(blank.face, char, stroke, x, row.top, width * squeeze, row.height, paint.text)
        if char not in " -.|":
            boxes.append([x, row.top, x + width * squeeze, row.top + row.height])
        x += (width + side + gap) * squeeze
    return boxes


def _tinted(color: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    shade = rng.uniform(0.92, 1.05)
    return tuple(int(np.clip(c * shade + rng.normal(0, 3), 0, 255)) for c in color)


def _wear(rgb: np.ndarray, wear: float, rng: np.random.Generator) -> None:
    """Uneven light and dirt as a smooth field, then a few scratches and specks; in place."""
    height, width = rgb.shape[:2]
    coarse = rng.normal(0, 1, (4, 9)).astype(np.float32)
    field_ = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    gain = 1 + 0.05 * (0.3 + wear) * field_
    light = np.linspace(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), height, dtype=np.float32)[:, None]
    shaded = rgb * (gain + light)[..., None]
    if rng.random() < wear:
        grime = np.clip(field_ - rng.uniform(0.6, 1.6), 0, 1)[..., None] * rng.uniform(0.1, 0.45)
        shaded = shaded * (1 - grime) + np.array([96, 84, 70], np.float32) * grime
    np.clip(shaded, 0, 255, out=shaded)
    rgb[:] = shaded.astype(np.uint8)
    for _ in range(rng.poisson(2 * wear)):
        p = rng.uniform(0, 1, 2) * (width, height)
        q = p + rng.normal(0, 0.06 * width, 2)
        shade = int(rng.integers(40, 220))
        cv2.line(rgb, tuple(map(int, p)), tuple(map(int, q)), (shade, shade, shade), 1, cv2.LINE_AA)
