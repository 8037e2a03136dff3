"""Draws one licence plate, deterministic for a given generator: blank, band and strip, characters, wear.

Lengths are millimeters until the canvas scales them; the canvas is supersampled and averaged down at the end.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from . import america, brazil, europe, furniture
from .canvas import Canvas
from .geometry import BLANKS, CATEGORIES, CATEGORY, COLORS, LAYOUTS, Color, Design, Row
from .glyphs import glyph_width
from .patterns import DIGITS, LETTERS, MARKS, PATTERNS, fits, grouped, random_text, set_in

__all__ = ["CATEGORIES", "COLORS", "LAYOUTS", "PlateImage", "category", "random_color", "random_text", "render_plate"]


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


def random_color(layout: str, rng: np.random.Generator) -> str:
    """A color of the layout; the first (private vehicles) about every second time, in Europe more often."""
    names = list(COLORS[layout])
    first = {"eu": 0.7, "us": 0.35}.get(layout, 0.4)
    return names[0] if rng.random() < first else names[rng.integers(len(names))]


def category(layout: str, color: str) -> str:
    """Which of CATEGORIES the color means in this layout. Raises KeyError for a layout or color that is not drawn."""
    if color not in COLORS[layout]:
        raise KeyError(f"{layout} has no color {color!r}: one of {', '.join(COLORS[layout])}")
    return CATEGORY.get(layout, {}).get(color, "other")


def render_plate(
    text: str, layout: str, color: str, rng: np.random.Generator, px_per_mm: float = 1.5, wear: float = 0.5
) -> PlateImage:
    """Draw `text` (A-Z, 0-9) on a blank of `layout`. `wear` 0 is fresh from the press, 1 is dirty and scratched.

    Raises KeyError for an unknown layout or color and ValueError for a text no plate of nine characters can hold.
    """
    if not 1 <= len(text) <= 9 or any(c not in LETTERS + DIGITS for c in text):
        raise ValueError(f"plate text {text!r}: expected 1 to 9 characters of A-Z and 0-9")
    paint = COLORS[layout][color]
    plan = _design(text, layout, rng)
    blank = plan.blank
    canvas = Canvas(blank.width, blank.height, px_per_mm, _tinted(paint.background, rng))
    _draw_furniture(canvas, layout, plan, paint, rng)
    heaviest = {"br-old": 1.22, "br-old-moto": 1.22, "us": 1.3}.get(layout, 1.12)
    stroke = round(blank.rows[0].stroke * rng.uniform(0.74 if layout == "us" else 0.88, heaviest))
    press = _Press(
        stroke,
        int(rng.choice([60, 80, 100, 100, 115])),
        layout != "us" or rng.random() < 0.7,
        rng.uniform(),
        america.dies(text, blank.face, rng) if layout == "us" else {},
    )
    boxes = []
    for row, line in zip(blank.rows, plan.lines, strict=True):
        boxes += _draw_row(canvas, plan, row, line, paint, layout, press, rng)
    rim = europe.rim(plan, paint) if layout == "eu" else paint.text
    if layout == "us" and rng.random() < 0.7:
        rim = furniture.shade(paint.background, 0.8) if rng.random() < 0.6 else None
    furniture.border_and_screws(canvas, blank, paint, rim, rng)
    if layout == "us" and rng.random() < 0.45:
        furniture.dealer_frame(canvas, blank, rng)
    elif layout == "eu":
        europe.finish(canvas, plan, rng)
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


@dataclass(frozen=True)
class _Press:
    """How this plate was stamped: `cell` (0..1) is how far the bare bar of a 1 or I fills out to a full cell, `faces`
    are those of single characters where not all have the blank's."""

    stroke: int
    roundness: int
    embossed: bool
    cell: float
    faces: dict[str, str]


def _design(text: str, layout: str, rng: np.random.Generator) -> Design:
    if layout == "eu":
        return europe.design(text, rng)
    if layout == "us":
        return america.design(text, rng)
    if layout != "other":
        return brazil.design(text, layout, rng)
    blanks = BLANKS[layout]
    blank = blanks[rng.integers(len(blanks))]
    rows = min(len(blank.rows), max(1, len(text) - 1))
    if rows < len(blank.rows):
        blank = blanks[0]
    forms = [f for f in PATTERNS[layout] if fits(f, text) and f.count("/") == rows - 1]
    line = set_in(forms[rng.integers(len(forms))], text) if forms else grouped(text, rows, rng, " -.|"[rng.integers(4)])
    return Design(blank, tuple(line.split("/")))


def _draw_furniture(canvas: Canvas, layout: str, plan: Design, paint: Color, rng: np.random.Generator) -> None:
    if layout == "eu":
        europe.draw(canvas, plan, rng)
    elif layout == "us":
        america.draw(canvas, plan, paint, rng)
    elif layout != "other":
        brazil.draw(canvas, layout, plan, paint, rng)
    elif rng.random() < 0.4:
        furniture.lettering(canvas, plan.blank.width / 2, 5, 11, 0.6 * plan.blank.width, paint.text, rng)


def _draw_row(
    canvas: Canvas,
    plan: Design,
    row: Row,
    line: str,
    paint: Color,
    layout: str,
    press: _Press,
    rng: np.random.Generator,
) -> list[list[float]]:
    """Set one line centered between the blank's bounds, squeezed when it is too long; returns the boxes in mm."""
    blank, loose, scale = plan.blank, plan.loose, row.height / 100
    gap = row.gap * rng.uniform(0.85 - 0.3 * loose, 1.1 + 0.4 * loose)
    # The bare bar of 1 and I stands in a wider cell than its ink, else "11" would read as one thick stroke.
    # Registered to real old plates, a bar's cell is about as wide as any other character's.
    bar = (8 + 18 * (press.cell**0.4 if layout.startswith("br-old") else press.cell)) * scale
    faces = [press.faces.get(c, blank.face) for c in line]
    pad = [bar if c in "1I" and glyph_width(f, c) < 24 else 0.0 for f, c in zip(faces, line, strict=True)]
    widths = [glyph_width(f, c) * scale for f, c in zip(faces, line, strict=True)]
    if layout == "us":
        # What stands between American groups is anything from a dot to a picture of two characters' width.
        widths = [w * rng.uniform(0.6, 1.9) if c == "|" else w for c, w in zip(line, widths, strict=True)]
    total = sum(widths) + 2 * sum(pad) + gap * (len(line) - 1)
    squeeze = min(1.0, (blank.right - blank.left) / total)
    tightest = {"br-old": 0.84, "br-old-moto": 0.86}.get(layout, 0.96 - 0.2 * loose)
    squeeze *= rng.uniform(tightest, 1.0)
    slack = blank.right - blank.left - total * squeeze
    x = blank.left + slack * (0.5 + (0.05 + 0.15 * loose) * rng.uniform(-1, 1))
    boxes = []
    for face, char, width, side in zip(faces, line, widths, pad, strict=True):
        x += side * squeeze
        if char == "|" and layout == "us":
            america.emblem(canvas, x, row, width * squeeze, plan.emblem, rng)
        elif char == "|":
            europe.emblem(canvas, plan, x, row, width * squeeze, rng)
        elif char != " ":
            box = (x, row.top, width * squeeze, row.height)
            canvas.glyph(face, char, press.stroke, box, paint.text, press.roundness, press.embossed)
        if char not in MARKS:
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
