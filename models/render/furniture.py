"""What plates of any country carry besides their characters: border, screws, small lettering, dealers' frames."""

import cv2
import numpy as np

from .canvas import RGB, Canvas
from .geometry import Blank, Color

DEALER_WORDS = (
    "AUTO MOTORS CARS CENTER CITY NORTH SOUTH LAKE RIVER SUN PINE BAY GOLDEN VALLEY GREAT OAK STONE HONDA FORD MAZDA "
    "CHEVROLET TOYOTA SUPER TRUST BROTHERS AND SONS SERVICE SALES PREMIUM PLUS COM TEL WWW COLLEGE ALUMNI CLUB TEAM"
).split()


def border_and_screws(canvas: Canvas, blank: Blank, paint: Color, rim: RGB | None, rng: np.random.Generator) -> None:
    """The pressed rim with its shade, in the color `rim` where the layout paints it, and two or four fixings."""
    canvas.frame(0.8, 1.6, blank.corner, shade(paint.background, 0.72))
    if rim is not None:
        canvas.frame(4.5, 2.0, blank.corner, rim)
    canvas.frame(6.0, 0.8, blank.corner, shade(paint.background, 1.12))
    if rng.random() < 0.75:
        y = blank.height * (rng.uniform(0.06, 0.1) if blank.corner > 10 else rng.choice([rng.uniform(0.14, 0.2), 0.9]))
        inset = blank.width * rng.uniform(0.18, 0.34)
        rows = (y, blank.height - y) if rng.random() < 0.25 else (y,)
        for cy in rows:
            for x in (inset, blank.width - inset):
                tone = int(rng.integers(30, 180))
                canvas.circle(x, cy, 4.2, (tone, tone, tone))
                canvas.circle(x - 0.8, cy - 0.8, 1.6, (min(255, tone + 60),) * 3)


def dealer_frame(canvas: Canvas, blank: Blank, rng: np.random.Generator) -> None:
    """A frame that hides the rim, broader above and below, with a dealer's or a team's name on it."""
    tone = tuple(int(v) for v in rng.integers(0, 255, 3)) if rng.random() < 0.25 else (int(rng.integers(8, 230)),) * 3
    if rng.random() < 0.5:
        tone = (int(rng.integers(6, 40)),) * 3
    ink = (235, 235, 235) if sum(tone) < 380 else (20, 20, 24)
    top, bottom, side = rng.uniform(6, 22), rng.uniform(8, 26), rng.uniform(3, 9)
    # At times as broad as the rim allows, up to the number or over its edge.
    if rng.random() < 0.25:
        top, bottom = rng.uniform(22, 42), rng.uniform(26, 40)
    canvas.rect(0, 0, blank.width, top, tone)
    canvas.rect(0, blank.height - bottom, blank.width, bottom, tone)
    canvas.rect(0, 0, side, blank.height, tone)
    canvas.rect(blank.width - side, 0, side, blank.height, tone)
    for y, height in ((1.5, top), (blank.height - bottom + 1.5, bottom)):
        if height > 9 and rng.random() < 0.7:
            lettering(canvas, blank.width / 2, y, height - 4, 0.9 * blank.width, ink, rng)


def lettering(
    canvas: Canvas, center: float, y: float, height: float, room: float, ink: RGB, rng: np.random.Generator
) -> None:
    """One to three words that are no plate number, in a plate face or an ordinary one."""
    words = [DEALER_WORDS[rng.integers(len(DEALER_WORDS))] for _ in range(rng.integers(1, 4))]
    line = " ".join(words)
    if rng.random() < 0.4:
        script(canvas, line.title() if rng.random() < 0.6 else line, center, y, height, room, ink, rng)
    else:
        canvas.text(line, "die", 15, center, y, min(height, 1.4 * room / len(line)), ink)


def script(
    canvas: Canvas, line: str, center: float, y: float, height: float, room: float, ink: RGB, rng: np.random.Generator
) -> None:
    """Lettering in one of OpenCV's own stroke fonts: roman, italic or script, as names of states are often set."""
    font = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
            cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX | cv2.FONT_ITALIC)[rng.integers(5)]  # fmt: skip
    thick = max(1, round(0.09 * height * canvas.scale))
    (width, cap), _ = cv2.getTextSize(line, font, 1.0, 1)
    scale = min(height * canvas.scale / cap, room * canvas.scale / width)
    at = (round(center * canvas.scale - scale * width / 2), round((y + height) * canvas.scale))
    cv2.putText(canvas.image, line, at, font, scale, ink, thick, cv2.LINE_AA)


def ink_near(color: RGB, spread: float, rng: np.random.Generator) -> RGB:
    return tuple(int(np.clip(c + rng.normal(0, spread), 0, 255)) for c in color)


def shade(color: RGB, factor: float) -> RGB:
    return tuple(int(np.clip(c * factor, 0, 255)) for c in color)
