"""European plates: country strip, seals, stickers and crests between the groups, colored rims, the holder's lip."""

from dataclasses import replace

import numpy as np

from .canvas import Canvas
from .furniture import ink_near, lettering, shade
from .geometry import BLANKS, RGB, Color, Design, Row
from .patterns import EUROPE, fits, grouped, pick, set_in

STRIP_BLUE = (20, 62, 150)
STRIP_MM = 43
SHIELDS = ((196, 32, 40), (24, 62, 150), (236, 236, 232), (240, 196, 40), (20, 110, 60), (30, 30, 34))


def design(text: str, rng: np.random.Generator) -> Design:
    matching = tuple(s for s in EUROPE if any(fits(form, text) for form in s.forms))
    if matching and rng.random() < 0.93:
        series = pick(matching, rng)
        forms = [form for form in series.forms if fits(form, text)]
        line = set_in(forms[rng.integers(len(forms))], text)
    else:
        series = pick(EUROPE, rng)
        line = grouped(text, 1 + int(len(text) > 3 and rng.random() < 0.2), rng, " |-"[rng.integers(3)])
    lines = tuple(line.split("/"))
    options = BLANKS["eu"][1:] if len(lines) == 2 else BLANKS["eu"][:1]
    blank = options[rng.integers(len(options))]
    strip = series.strip[rng.integers(len(series.strip))] if rng.random() < 0.92 else ""
    emblem = series.emblem[rng.integers(len(series.emblem))]
    left = STRIP_MM + 10 if strip else blank.left
    right = blank.width - STRIP_MM - 8 if "r" in strip and len(lines) == 1 else blank.right
    face = series.faces[rng.integers(len(series.faces))] if rng.random() < 0.85 else "road"
    return Design(replace(blank, left=left, right=right, face=face), lines, 1.0, series.code, emblem, strip)


def draw(canvas: Canvas, plan: Design, rng: np.random.Generator) -> None:
    blank, strip = plan.blank, plan.strip
    if strip == "w":
        _shield(canvas, 25, blank.height * 0.3, 12, rng)
        canvas.text(plan.series, "road", 15, 25, blank.height * 0.68, 17, (24, 24, 28))
    elif strip:
        canvas.rect(0, 0, STRIP_MM, blank.height, ink_near(STRIP_BLUE, 12, rng))
        if rng.random() < 0.85:
            for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
                star = (22 + 11 * np.cos(angle), blank.height * 0.3 + 11 * np.sin(angle))
                canvas.circle(*star, 1.8, (250, 204, 30))
        else:
            for i, color in enumerate(SHIELDS[:3]):
                canvas.rect(10, blank.height * 0.2 + 7 * i, 26, 7, color)
        size = {1: 22, 2: 20}.get(len(plan.series), 14)
        canvas.text(plan.series, "road", 16, 22, blank.height * 0.64, size, (240, 240, 240))
    if "r" in strip and len(plan.lines) == 1:
        tone = (236, 196, 40) if plan.series == "P" else ink_near(STRIP_BLUE, 12, rng)
        canvas.rect(blank.width - STRIP_MM, 0, STRIP_MM, blank.height, tone)
        number = f"{rng.integers(1, 96):02d}"
        canvas.text(number, "road", 15, blank.width - 21, blank.height * 0.64, 18, (240, 240, 240))
        canvas.rect(blank.width - 30, blank.height * 0.2, 18, 20, ink_near((180, 150, 120), 40, rng))
    if plan.series == "A":
        for y in (7, blank.height - 9):
            canvas.rect(0, y, blank.width, 2.2, (200, 30, 36))
    # Inspection stickers stand high and small in a corner of Central European plates.
    if rng.random() < 0.12:
        canvas.circle(blank.width - 14, rng.choice([16, blank.height - 16]), 7, ink_near((90, 160, 120), 70, rng))


def emblem(canvas: Canvas, plan: Design, x: float, row: Row, width: float, rng: np.random.Generator) -> None:
    """What `|` shows: two round seals, a crest, a crest over a dash, or a small sticker."""
    center, middle, kind = x + width / 2, row.top + row.height / 2, plan.emblem
    if kind == "seals":
        radius = row.height * rng.uniform(0.13, 0.22)
        for side in (-1, 1):
            if rng.random() < 0.85:
                _seal(canvas, center, middle + side * 1.2 * radius, radius, rng)
    elif kind == "sticker":
        _seal(canvas, center, row.top + row.height * rng.uniform(0.1, 0.9), row.height * 0.14, rng)
    elif kind == "crest-dash":
        canvas.rect(x + 0.1 * width, middle + 0.04 * row.height, 0.8 * width, 0.12 * row.height, (24, 24, 28))
        if rng.random() < 0.8:
            (_seal if rng.random() < 0.4 else _shield)(
                canvas, center, middle - 0.24 * row.height, 0.13 * row.height, rng
            )
        if rng.random() < 0.3:
            _seal(canvas, center, middle + 0.34 * row.height, 0.13 * row.height, rng)
    else:
        _shield(canvas, center, middle + row.height * rng.uniform(-0.1, 0.02), row.height * rng.uniform(0.2, 0.27), rng)


def finish(canvas: Canvas, plan: Design, rng: np.random.Generator) -> None:
    """The lip of a plate holder over the lower edge, with the dealer's lettering."""
    if rng.random() > 0.3:
        return
    height = rng.uniform(4, 13)
    tone = ink_near((24, 24, 26), 8, rng) if rng.random() < 0.8 else ink_near((210, 210, 210), 25, rng)
    canvas.rect(0, plan.blank.height - height, plan.blank.width, height, tone)
    canvas.rect(0, 0, plan.blank.width, min(3.0, height / 2), tone)
    if height > 7:
        ink = (232, 232, 232) if sum(tone) < 300 else (30, 30, 60)
        lettering(
            canvas, plan.blank.width / 2, plan.blank.height - height + 1.5, height - 3, 0.8 * plan.blank.width, ink, rng
        )


def _seal(canvas: Canvas, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    hue = tuple(int(v) for v in rng.integers(30, 230, 3))
    canvas.circle(x, y, radius, hue)
    canvas.circle(x, y, 0.55 * radius, shade(hue, rng.choice([0.6, 1.5])))


def _shield(canvas: Canvas, x: float, y: float, half: float, rng: np.random.Generator) -> None:
    first, second = (SHIELDS[i] for i in rng.permutation(len(SHIELDS))[:2])

    def outline(size: float) -> list[tuple[float, float]]:
        points = ((-0.85, -1), (0.85, -1), (0.85, 0.2), (0, 1.1), (-0.85, 0.2))
        return [(x + size * px, y + size * py) for px, py in points]

    canvas.polygon(outline(half), first)
    canvas.polygon(outline(0.5 * half), second)


def rim(plan: Design, paint: Color) -> RGB:
    """Slovenian rims are green, Danish ones red, most others have the characters' color."""
    return {"SLO": (30, 130, 70), "DK": (200, 36, 40)}.get(plan.series, paint.text)
