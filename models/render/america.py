"""North American plates: tinted and pictured backgrounds, the state's name, slogans, stickers, stacked letters."""

from dataclasses import replace

import numpy as np

from .canvas import Canvas
from .furniture import ink_near, lettering, script, shade
from .geometry import BLANKS, RGB, Color, Design, Row
from .patterns import AMERICA, fits, grouped, pick, set_in

STATES = (
    "Alabama,Alaska,Arizona,Arkansas,California,Colorado,Connecticut,Delaware,Florida,Georgia,Hawaii,Idaho,Illinois,"
    "Indiana,Iowa,Kansas,Kentucky,Louisiana,Maine,Maryland,Massachusetts,Michigan,Minnesota,Mississippi,Missouri,"
    "Montana,Nebraska,Nevada,New Hampshire,New Jersey,New Mexico,New York,North Carolina,North Dakota,Ohio,Oklahoma,"
    "Oregon,Pennsylvania,Rhode Island,South Carolina,South Dakota,Tennessee,Texas,Utah,Vermont,Virginia,Washington,"
    "West Virginia,Wisconsin,Wyoming,Ontario,Alberta"
).split(",")
FACES = ("die", "gothic", "gothic", "narrow", "narrow", "fixed", "fixed", "open", "open", "west", "west")
# How often a character comes from another press's die than the rest of the number.
FOREIGN_DIE = 0.3
# How often a society's or a school's logo takes the room beside the number, in mm at most.
LOGO, LOGO_WIDTH = 0.1, 90
# The series of disabled drivers, and what its wheelchair takes of the number's room in mm.
DISABLED, DISABLED_WIDTH = "disabled", 58
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def design(text: str, rng: np.random.Generator) -> Design:
    matching = tuple(s for s in AMERICA if any(fits(form, text) for form in s.forms))
    if matching:
        series = pick(matching, rng)
        forms = [form for form in series.forms if fits(form, text)]
        line = set_in(forms[rng.integers(len(forms))], text)
    else:
        series = pick(AMERICA, rng)
        line = grouped(text, 1, rng, " |-"[rng.integers(3)])
    options = BLANKS["us"]
    blank = replace(options[rng.integers(len(options))], face=FACES[rng.integers(len(FACES))])
    # Small letters stacked before or after the number, which are not part of it as it is reported.
    stacked = ("l", "r")[rng.integers(2)] if len(text) < 7 and rng.random() < 0.12 else ""
    logo = len(text) < 7 and series.code != DISABLED and not stacked and rng.random() < LOGO
    if series.code == DISABLED:
        blank = replace(blank, left=blank.left + DISABLED_WIDTH)
        stacked = ("l", "r")[rng.integers(2)]
    if stacked == "l":
        blank = replace(blank, left=blank.left + 30)
    elif stacked:
        blank = replace(blank, right=blank.right - 30)
    elif logo:
        stacked, room = ("logo-l", "logo-r")[int(rng.random() < 0.25)], rng.uniform(0.4, 1) * LOGO_WIDTH
        blank = (
            replace(blank, left=blank.left + room) if stacked == "logo-l" else replace(blank, right=blank.right - room)
        )
    emblem = series.emblem[0] if rng.random() < 0.8 else ("sticker", "symbol")[rng.integers(2)]
    return Design(blank, (line,), 1.0, series.code, emblem, stacked)


def dies(text: str, face: str, rng: np.random.Generator) -> dict[str, str]:
    """The face of each character: most from the plate's own, some from another press, the same wherever they stand."""
    other = FACES[rng.integers(len(FACES))]
    return {char: other if rng.random() < FOREIGN_DIE else face for char in dict.fromkeys(text)}


def draw(canvas: Canvas, plan: Design, paint: Color, rng: np.random.Generator) -> None:
    blank = plan.blank
    _picture(canvas, paint, rng)
    ink = paint.text if rng.random() < 0.5 else tuple(int(v) for v in rng.integers(0, 150, 3))
    if sum(paint.background) < 330:
        ink = shade(paint.text, rng.uniform(0.8, 1.1))
    band = rng.random() < 0.15
    if band:
        tone = tuple(int(v) for v in rng.integers(20, 200, 3))
        canvas.rect(0, 0, blank.width, 34, tone)
        ink = (240, 240, 240) if sum(tone) < 420 else (20, 20, 40)
    _state(canvas, blank.width / 2, blank.rows[0].top, ink, rng)
    if rng.random() < 0.65:
        y = blank.rows[0].top + blank.rows[0].height + rng.uniform(2, 6)
        height = min(blank.height - y - 5, rng.uniform(7, 13))
        if height > 5:
            lettering(canvas, blank.width / 2, y + 1, height, 0.6 * blank.width, ink, rng)
    for x in (10, blank.width - 40):
        for top in (8, blank.height - 29):
            if rng.random() < 0.22:
                _sticker(canvas, x, top, rng.uniform(20, 30), rng.uniform(14, 20), rng)
    if plan.strip.startswith("logo"):
        _logo(canvas, plan, rng)
    elif plan.strip:
        _stacked(canvas, plan, paint.text, rng)
    if plan.series == DISABLED:
        _wheelchair(canvas, rng.uniform(10, 16), blank.rows[0].top + rng.uniform(0, 14), rng.uniform(42, 52), rng)


def _picture(canvas: Canvas, paint: Color, rng: np.random.Generator) -> None:
    """The background: plain, a tint fading up or down, hills, a sunset, or a large pale motif behind the number."""
    width, height = canvas.width_mm, canvas.height_mm
    if rng.random() < 0.5 and sum(paint.background) > 500:
        # Pale enough for the number to stand out.
        tint = np.array([int(v) for v in rng.integers(130, 255, 3)], np.float32)
        ramp = np.linspace(rng.uniform(0, 0.9), rng.uniform(-0.5, 0.1), canvas.image.shape[0], dtype=np.float32)
        ramp = np.clip(ramp[:: rng.choice([-1, 1])], 0, 1)[:, None, None]
        canvas.image[:] = (canvas.image * (1 - ramp) + tint * ramp).astype(np.uint8)
    if rng.random() < 0.3:
        base, swing = rng.uniform(0.45, 0.9), rng.uniform(0.05, 0.3)
        hills = [(x, height * np.clip(base + swing * rng.normal(), 0.3, 1)) for x in np.linspace(0, width, 13)]
        tone = ink_near(shade(paint.background, rng.uniform(0.72, 0.95)), 14, rng)
        canvas.polygon([(0, height), *hills, (width, height)], tone)
    if rng.random() < 0.3:
        points = _blob(rng, width * rng.uniform(0.2, 0.8), height * rng.uniform(0.4, 0.7), rng.uniform(20, 60))
        canvas.polygon(points, ink_near(shade(paint.background, rng.uniform(0.78, 1.1)), 12, rng))
    if rng.random() < 0.12:
        for x in np.linspace(0, width, 12):
            canvas.rect(x, 0, 0.6, height, shade(paint.background, 0.93))


def _state(canvas: Canvas, center: float, below: float, ink: RGB, rng: np.random.Generator) -> None:
    """The state's name between the rim and the number, in capitals, or in a roman or script hand."""
    name = STATES[rng.integers(len(STATES))]
    height = min(rng.uniform(12, 22), below - 14)
    # A script's loops often reach down to the number.
    top = rng.uniform(8, max(8.1, below - height - (5 if rng.random() < 0.6 else -3)))
    if rng.random() < 0.25:
        center += rng.uniform(-40, 40)
    if rng.random() < 0.5:
        script(canvas, name, center, top, height, 170, ink, rng)
    else:
        canvas.text(name.upper(), "gothic", 15, center, top, min(height, 250 / len(name)), ink)


def _wheelchair(canvas: Canvas, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    """A bright wheelchair with its driver on a blue square, or the other way round."""
    blue, bright = (int(rng.integers(20, 60)), int(rng.integers(60, 110)), int(rng.integers(130, 200))), (232, 234, 238)
    ground, ink = (blue, bright) if rng.random() < 0.75 else (bright, blue)
    canvas.rect(x, y, size, size, ground)
    canvas.circle(x + 0.44 * size, y + 0.64 * size, 0.27 * size, ink)
    canvas.circle(x + 0.44 * size, y + 0.64 * size, 0.18 * size, ground)
    canvas.circle(x + 0.38 * size, y + 0.16 * size, 0.08 * size, ink)
    canvas.rect(x + 0.34 * size, y + 0.26 * size, 0.1 * size, 0.32 * size, ink)
    canvas.rect(x + 0.34 * size, y + 0.5 * size, 0.34 * size, 0.09 * size, ink)
    canvas.rect(x + 0.62 * size, y + 0.5 * size, 0.08 * size, 0.34 * size, ink)


def _sticker(canvas: Canvas, x: float, y: float, width: float, height: float, rng: np.random.Generator) -> None:
    hue = tuple(int(v) for v in rng.integers(30, 250, 3)) if rng.random() < 0.7 else (232, 232, 228)
    canvas.rect(x, y, width, height, hue)
    ink = (20, 20, 24) if sum(hue) > 380 else (240, 240, 240)
    text = MONTHS[rng.integers(12)] if rng.random() < 0.4 else f"{rng.integers(1, 30):02d}"
    canvas.text(
        text, "narrow", 16, x + width / 2, y + 0.2 * height, 0.6 * height if len(text) < 3 else 0.45 * height, ink
    )


def _stacked(canvas: Canvas, plan: Design, ink: RGB, rng: np.random.Generator) -> None:
    row = plan.blank.rows[0]
    x = plan.blank.left - 17 if plan.strip == "l" else plan.blank.right + 17
    letters = "ABCDEFGHKLMNPRSTVWXY0123456789"
    count = int(rng.integers(2, 4))
    for i in range(count):
        canvas.text(letters[rng.integers(len(letters))], plan.blank.face, 15, x, row.top + i * row.height / count + 2,
                    row.height / count - 4, ink)  # fmt: skip


def _logo(canvas: Canvas, plan: Design, rng: np.random.Generator) -> None:
    """A seal, a mascot's outline or initials in the room that the number leaves free on one side."""
    blank, row = plan.blank, plan.blank.rows[0]
    left, right = (8.0, blank.left - 4) if plan.strip == "logo-l" else (blank.right + 4, blank.width - 8)
    x, y, half = (left + right) / 2, row.top + row.height * rng.uniform(0.4, 0.6), (right - left) / 2
    hue = tuple(int(v) for v in rng.integers(20, 220, 3))
    way = rng.random()
    if way < 0.4:
        canvas.circle(x, y, 0.9 * half, hue)
        canvas.circle(x, y, 0.6 * half, shade(hue, rng.choice([0.5, 1.6])))
    elif way < 0.8:
        canvas.polygon(_blob(rng, x, y, half), hue)
    if way > 0.3:
        letters = "".join("ABCDEFHKMNPRSTUW"[i] for i in rng.integers(16, size=int(rng.integers(1, 4))))
        size = min(0.5 * row.height, 1.1 * half / len(letters) / 0.7)
        canvas.text(letters, "gothic", 16, x, y - size / 2, size, shade(hue, 0.4 if sum(hue) > 300 else 2.2))


def emblem(canvas: Canvas, x: float, row: Row, width: float, kind: str, rng: np.random.Generator) -> None:
    """Between the groups: a validation sticker, or a small symbol (a state's shape, a star, a fruit)."""
    center, middle = x + width / 2, row.top + row.height * rng.uniform(0.42, 0.58)
    hue = tuple(int(v) for v in rng.integers(20, 235, 3))
    if kind == "sticker":
        half = width * rng.uniform(0.3, 0.48)
        tall = half * rng.uniform(1.0, 1.8)
        canvas.rect(center - half, middle - tall, 2 * half, 2 * tall, hue)
        text = f"{rng.integers(1, 32):02d}"
        canvas.text(text, "narrow", 18, center, middle - 0.7 * tall, 0.6 * tall, shade(hue, 0.35))
        canvas.rect(center - 0.7 * half, middle + 0.2 * tall, 1.4 * half, 0.5 * tall, shade(hue, 0.7))
    else:
        canvas.polygon(_blob(rng, center, middle, width * rng.uniform(0.25, 0.5)), hue)
        if rng.random() < 0.5:
            canvas.circle(center, middle, width * 0.12, shade(hue, 1.6))


def _blob(rng: np.random.Generator, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """An irregular outline: a star, a leaf or a state's shape, as the dice fall."""
    count = int(rng.integers(3, 11))
    angles = (
        np.sort(rng.uniform(0, 2 * np.pi, count)) if rng.random() < 0.5 else np.linspace(0, 2 * np.pi, count + 1)[:-1]
    )
    radii = radius * rng.uniform(0.45, 1.0, count)
    return [(x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(angles, radii, strict=True)]
