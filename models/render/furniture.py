"""What a plate carries besides its characters: city strip, bands, flags, stars, seals, border, screws."""

import numpy as np

from .canvas import RGB, Canvas
from .geometry import Blank, Color, Row

BAND_BLUE = (14, 56, 142)
STATES = "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO".split()
SYLLABLES = "BA CA DO FOR GUA JA LIM MA NA PA RI SAL SAN TA TE VI ZAL RO BE LO CURI TIBA POR TO LA GES".split()
US_WORDS = "NORTH SOUTH LAKE RIVER STATE SUN PINE BAY GOLDEN PRAIRIE ISLAND VALLEY GREAT LAND OAK STONE".split()


def draw(canvas: Canvas, layout: str, color: str, blank: Blank, paint: Color, rng: np.random.Generator) -> None:
    """Draw the layout's furniture below the characters."""
    if layout.startswith("br-old"):
        _city_strip(canvas, blank, paint, rng)
    elif layout.startswith("br-mercosul"):
        _mercosul(canvas, blank, "BRASIL", _flag_brazil, paint, rng)
        _qr(canvas, 8, 38, 20 if blank.width > 300 else 13, rng)
        canvas.text("BR", "road", 16, 19 if blank.width > 300 else 13, blank.height - 30, 11, paint.text)
    elif layout == "mercosur":
        country = ("ARGENTINA", "URUGUAY", "PARAGUAY", "MERCOSUR")[rng.integers(4)]
        _mercosul(canvas, blank, country, _flag_stripes, paint, rng)
    elif layout == "eu":
        _euro(canvas, blank, rng)
    elif layout == "us":
        _american(canvas, blank, paint, rng)
    elif rng.random() < 0.4:
        canvas.text(_word(US_WORDS, rng), "road", 14, blank.width / 2, 5, 12, paint.text)


def border_and_screws(canvas: Canvas, blank: Blank, paint: Color, layout: str, rng: np.random.Generator) -> None:
    """The pressed rim with its shade, in the text's color where the layout paints it, and two or four fixings."""
    rim = paint.text if layout != "us" or rng.random() < 0.3 else _shade(paint.background, 0.8)
    canvas.frame(0.8, 1.6, blank.corner, _shade(paint.background, 0.72))
    if layout != "us" or rng.random() < 0.5:
        canvas.frame(4.5, 2.0, blank.corner, rim)
    canvas.frame(6.0, 0.8, blank.corner, _shade(paint.background, 1.12))
    if rng.random() < 0.75:
        y = blank.height * (0.06 if layout == "us" else rng.uniform(0.14, 0.2) if rng.random() < 0.5 else 0.9)
        inset = blank.width * rng.uniform(0.18, 0.34)
        for x in (inset, blank.width - inset):
            tone = int(rng.integers(30, 180))
            canvas.circle(x, y, 4.2, (tone, tone, tone))
            canvas.circle(x - 0.8, y - 0.8, 1.6, (min(255, tone + 60),) * 3)


def emblem(canvas: Canvas, x: float, row: Row, width: float, layout: str, rng: np.random.Generator) -> None:
    """What stands between two groups: round inspection seals, a crest with or without a dash, an American sticker."""
    center, middle = x + width / 2, row.top + row.height / 2
    hue = tuple(int(v) for v in rng.integers(20, 235, 3))
    kind = rng.random()
    if layout == "us" and kind < 0.7:
        half = width * rng.uniform(0.3, 0.55)
        canvas.rect(center - half, middle - 1.3 * half, 2 * half, 2.6 * half, hue)
        canvas.rect(center - 0.5 * half, middle - 0.6 * half, half, half, _shade(hue, 0.6))
    elif kind < 0.5:
        radius = width * rng.uniform(0.32, 0.55)
        if rng.random() < 0.7:
            canvas.circle(center, middle - 1.15 * radius, radius, hue)
            canvas.circle(center, middle - 1.15 * radius, 0.5 * radius, _shade(hue, 1.4))
        hue = tuple(int(v) for v in rng.integers(60, 220, 3))
        canvas.circle(center, middle + 1.15 * radius, radius, hue)
        canvas.circle(center, middle + 1.15 * radius, 0.5 * radius, _shade(hue, 0.7))
    else:
        half, top = width * 0.45, middle - row.height * rng.uniform(0.0, 0.32)
        height = row.height * rng.uniform(0.28, 0.42)
        points = [(-half, 0), (half, 0), (half, 0.6 * height), (0, height), (-half, 0.6 * height)]
        canvas.polygon([(center + px, top + py) for px, py in points], hue)
        canvas.polygon([(center + 0.5 * px, top + 0.15 * height + 0.5 * py) for px, py in points], _shade(hue, 1.5))


def dealer_frame(canvas: Canvas, blank: Blank, rng: np.random.Generator) -> None:
    """A frame that hides the rim, broader above and below, with a dealer's or a team's name on it."""
    tone = tuple(int(v) for v in rng.integers(0, 255, 3)) if rng.random() < 0.3 else (int(rng.integers(8, 230)),) * 3
    ink = (235, 235, 235) if sum(tone) < 380 else (20, 20, 24)
    top, bottom, side = rng.uniform(8, 22), rng.uniform(10, 24), rng.uniform(3, 9)
    canvas.rect(0, 0, blank.width, top, tone)
    canvas.rect(0, blank.height - bottom, blank.width, bottom, tone)
    canvas.rect(0, 0, side, blank.height, tone)
    canvas.rect(blank.width - side, 0, side, blank.height, tone)
    for y, height in ((1.5, top), (blank.height - bottom + 1.5, bottom)):
        if rng.random() < 0.7:
            line = f"{_word(US_WORDS, rng)} {_word(US_WORDS, rng)}"
            canvas.text(line, "die", 15, blank.width / 2, y, max(4.0, height - 4), ink)


def _city_strip(canvas: Canvas, blank: Blank, paint: Color, rng: np.random.Generator) -> None:
    wide = blank.width > 300
    inset, top, height = (58, 13, 22) if wide else (26, 10, 19)
    if rng.random() < 0.85:
        canvas.rect(inset, top, blank.width - 2 * inset, height, _shade(paint.background, rng.uniform(0.9, 1.1)))
        for y in (top, top + height):
            canvas.rect(inset, y, blank.width - 2 * inset, 0.7, _shade(paint.background, 0.7))
    city = "".join(SYLLABLES[rng.integers(len(SYLLABLES))] for _ in range(rng.integers(2, 5)))
    state = STATES[rng.integers(len(STATES))]
    canvas.text(f"{state}-{city[:12]}", "old", 14, blank.width / 2, top + 4, height - 9, paint.text)
    if wide and rng.random() < 0.6:
        seal = tuple(int(v) for v in rng.integers(20, 220, 3))
        canvas.circle(inset - 12, top + 10, 7.5, seal)


def _mercosul(canvas: Canvas, blank: Blank, country: str, flag, paint: Color, rng: np.random.Generator) -> None:
    """Blue band over the whole width: emblem, country, flag."""
    height = 30
    canvas.rect(0, 0, blank.width, height, tuple(int(np.clip(c + rng.normal(0, 6), 0, 255)) for c in BAND_BLUE))
    canvas.text(country, "road", 17, blank.width / 2, 9, 14, (240, 240, 240))
    wide = blank.width > 300
    for i, (x, y) in enumerate(((14, 11), (19, 9), (24, 11), (19, 15))):
        canvas.circle(x if wide else x - 2, y, 1.3 + 0.2 * (i == 3), (236, 236, 236))
    canvas.polygon([(10, 20), (19, 17), (29, 20), (29, 22), (10, 22)], (60, 150, 90))
    flag(canvas, blank.width - (38 if wide else 30), 6, 26 if wide else 20, 18 if wide else 14)


def _flag_brazil(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    canvas.rect(x, y, width, height, (16, 140, 70))
    cx, cy = x + width / 2, y + height / 2
    rhomb = [(cx, y + 0.1 * height), (x + 0.9 * width, cy), (cx, y + 0.9 * height), (x + 0.1 * width, cy)]
    canvas.polygon(rhomb, (250, 214, 40))
    canvas.circle(cx, cy, height * 0.22, (16, 44, 120))


def _flag_stripes(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    for i, color in enumerate(((116, 172, 223), (246, 246, 246), (116, 172, 223))):
        canvas.rect(x, y + i * height / 3, width, height / 3, color)
    canvas.circle(x + width / 2, y + height / 2, height * 0.12, (246, 180, 14))


def _qr(canvas: Canvas, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    cells = rng.random((15, 15)) < 0.5
    for corner in ((0, 0), (0, 11), (11, 0)):
        block = np.ones((4, 4), bool)
        block[1:3, 1:3] = False
        cells[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = block
    step = size / 15
    for row, column in zip(*np.nonzero(cells), strict=True):
        canvas.rect(x + column * step, y + row * step, step, step, (40, 40, 44))


def _euro(canvas: Canvas, blank: Blank, rng: np.random.Generator) -> None:
    if blank.left < 40:
        return
    if rng.random() < 0.85:
        canvas.rect(0, 0, 43, blank.height, tuple(int(v + rng.integers(-10, 20)) for v in (20, 62, 150)))
        for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
            star = (22 + 11 * np.cos(angle), blank.height * 0.3 + 11 * np.sin(angle))
            canvas.circle(*star, 2.0, (250, 204, 30))
        country = "".join(chr(65 + v) for v in rng.integers(0, 26, rng.integers(1, 4)))
        canvas.text(country, "road", 16, 22, blank.height * 0.66, 20 if len(country) < 3 else 14, (240, 240, 240))
    if len(blank.rows) == 1 and rng.random() < 0.25:
        canvas.rect(blank.width - 43, 0, 43, blank.height, (24, 66, 156))


def _american(canvas: Canvas, blank: Blank, paint: Color, rng: np.random.Generator) -> None:
    """A tint that fades downwards or a skyline, the state's name, a slogan and month and year stickers."""
    if rng.random() < 0.5:
        tint = np.array([int(v) for v in rng.integers(110, 250, 3)], np.float32)
        ramp = np.linspace(rng.uniform(0, 0.7), 0, canvas.image.shape[0], dtype=np.float32)[:, None, None]
        if rng.random() < 0.5:
            ramp = ramp[::-1]
        canvas.image[:] = (canvas.image * (1 - ramp) + tint * ramp).astype(np.uint8)
    if rng.random() < 0.3:
        hills = [(x, rng.uniform(50, 110)) for x in np.linspace(0, blank.width, 9)]
        points = [(0, blank.height), *hills, (blank.width, blank.height)]
        canvas.polygon(points, _shade(paint.background, rng.uniform(0.75, 0.95)))
    ink = paint.text if rng.random() < 0.6 else tuple(int(v) for v in rng.integers(0, 140, 3))
    canvas.text(_word(US_WORDS, rng), "die", 15, blank.width / 2, 12, rng.uniform(13, 20), ink)
    if rng.random() < 0.7:
        canvas.text(f"{_word(US_WORDS, rng)} {_word(US_WORDS, rng)}", "die", 13, blank.width / 2, 134, 9, ink)
    for x in (12, blank.width - 36):
        if rng.random() < 0.35:
            y = 10 if rng.random() < 0.7 else blank.height - 30
            canvas.rect(x, y, 24, 18, tuple(int(v) for v in rng.integers(30, 250, 3)))
    if rng.random() < 0.25:
        x = blank.width * rng.uniform(0.38, 0.62)
        canvas.circle(x, blank.height * 0.52, rng.uniform(9, 16), _shade(paint.background, rng.uniform(0.6, 0.9)))


def _word(words: list[str], rng: np.random.Generator) -> str:
    return words[rng.integers(len(words))]


def _shade(color: RGB, factor: float) -> RGB:
    return tuple(int(np.clip(c * factor, 0, 255)) for c in color)
