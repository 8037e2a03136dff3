"""Drawn look-alikes: words, buttons, prices and long numbers that stand where a detector may take them for a plate.

They teach the reader's `plate` what photos alone teach too little of: lettering without a plate around it.
"""

import cv2
import numpy as np
from render.canvas import Canvas
from render.furniture import DEALER_WORDS, script

from .reader_augment import POOL_HEIGHT, POOL_WIDTH
from .reader_pool import Pool, collect

WORDS = (
    "reset load save cancel open closed sale exit enter stop start on off yes no push pull print watch reading menu "
    "coffee hotel market bakery school library museum station street avenue park police please keep clear warning "
    "danger welcome private property no entry caution wet floor free delivery since new best fresh daily"
).split()


def lettering_pool(backgrounds: np.ndarray, seed: int, count: int) -> Pool:
    """`count` pictures of lettering, as a pool without texts."""
    rng = np.random.default_rng(seed)
    entries = []
    for _ in range(count):
        canvas = Canvas(POOL_WIDTH, POOL_HEIGHT, 1.0, (0, 0, 0))
        photo = backgrounds[rng.integers(len(backgrounds))]
        canvas.image[:] = cv2.resize(photo, canvas.image.shape[1::-1])
        _panel(canvas, rng)
        _lines(canvas, rng)
        entries.append((canvas.finish(), "", None, None, float(rng.uniform(0.18, 0.6)), float(rng.uniform(40, 200))))
    return collect(entries)


def _panel(canvas: Canvas, rng: np.random.Generator) -> None:
    """What the lettering stands on: the photo itself, a plain wall, or a button, screen or sign with an edge."""
    kind = rng.random()
    if kind < 0.2:
        return
    ground = _tone(rng)
    if kind < 0.5:
        canvas.image[:] = (canvas.image * np.float32(0.12) + np.float32(ground) * np.float32(0.88)).astype(np.uint8)
        return
    x, y = rng.uniform(4, 24), rng.uniform(6, 24)
    canvas.rect(x, y, POOL_WIDTH - 2 * x, POOL_HEIGHT - 2 * y, ground)
    if rng.random() < 0.4:
        canvas.frame(min(x, y) + rng.uniform(1, 8), rng.uniform(1, 3), rng.uniform(2, 14), _tone(rng))


def _lines(canvas: Canvas, rng: np.random.Generator) -> None:
    """One to three lines in an ordinary hand, brighter or darker than the ground."""
    ground = float(canvas.image.mean())
    ink = np.clip(ground + rng.choice([-1, 1]) * rng.uniform(60, 200), 0, 255)
    if abs(ink - ground) < 40:
        ink = 255.0 if ground < 128 else 0.0
    color = tuple(int(np.clip(ink + rng.normal(0, 20), 0, 255)) for _ in range(3))
    count = int(rng.choice([1, 1, 2, 3]))
    height = rng.uniform(0.3, 0.62) * POOL_HEIGHT / count**0.8
    y = (POOL_HEIGHT - count * height * 1.3) / 2 + rng.uniform(-8, 8)
    for _ in range(count):
        center, room = POOL_WIDTH * rng.uniform(0.45, 0.55), POOL_WIDTH * rng.uniform(0.5, 0.95)
        script(canvas, _line(rng), center, y, height, room, color, rng)
        y += 1.3 * height


def _line(rng: np.random.Generator) -> str:
    """Mostly words in small letters; capitals, prices, times and numbers longer than a plate's now and then."""
    kind = rng.random()
    if kind < 0.12:
        return "".join(str(d) for d in rng.integers(0, 10, rng.integers(8, 13)))
    if kind < 0.22:
        mark = ".,:/-%"[rng.integers(6)]
        return f"{rng.integers(1, 999)}{mark}{rng.integers(10, 99)}"
    words = WORDS if rng.random() < 0.7 else [w.lower() for w in DEALER_WORDS]
    line = " ".join(words[rng.integers(len(words))] for _ in range(rng.choice([1, 1, 1, 2, 3])))
    how = rng.random()
    return line.title() if how < 0.4 else line.upper() if how < 0.65 else line


def _tone(rng: np.random.Generator) -> tuple[int, int, int]:
    if rng.random() < 0.5:
        return (int(rng.integers(0, 256)),) * 3
    return tuple(int(v) for v in rng.integers(0, 256, 3))
