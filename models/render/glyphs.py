"""Glyph outlines of the plate faces, drawn by us as strokes, and their rasterizer.

A glyph is a width (cap height = 100) and a list of strokes. A stroke is a list of vertices `x,y[/r]` in per cent
of the box of stroke centers: 0 and 100 touch the outer edge once the stroke has its width. `/r` rounds that vertex
with the radius r (cap height = 100); a trailing `z` closes the stroke. Ends are square, and whatever leaves the box
is cut, so that diagonals end flat on the top and base lines as on an embossed plate.
"""

from functools import lru_cache

import cv2
import numpy as np

MASK_HEIGHT_PX = 192

# The face of Brazilian plates from 1990 to 2018: widths after the table of CONTRAN resolution 231 (63 mm high,
# stroke 10 mm); 0 and O, 1 and I are the same shape. 4, 7, A, M and Q are closer to what is stamped than the table:
# registered to real plates they correlate better (7: 0.59 instead of 0.54).
OLD = {
    "0": (71, ["0,0/26 100,0/26 100,100/26 0,100/26 z"]),
    "1": (17, ["50,0 50,100"]),
    "2": (67, ["0,24 0,0/27 100,0/27 100,42/14 0,100 100,100"]),
    "3": (70, ["0,22 0,0/26 100,0/26 100,46/22 45,46", "45,46 100,46/22 100,100/26 0,100/26 0,78"]),
    "4": (68, ["64,0 0,76 100,76", "70,0 70,100"]),
    "5": (70, ["96,0 4,0 4,42 100,42/27 100,100/27 0,100/27 0,78"]),
    "6": (71, ["100,22 100,0/26 0,0/26 0,100/26 100,100/26 100,42/26 0,42"]),
    "7": (66, ["0,0 100,0 36,100"]),
    "8": (71, ["5,0/24 95,0/24 95,46/22 5,46/22 z", "0,46/24 100,46/24 100,100/26 0,100/26 z"]),
    "9": (71, ["0,78 0,100/26 100,100/26 100,0/26 0,0/26 0,58/26 100,58"]),
    "A": (78, ["0,100 37,0 63,0 100,100", "18,72 82,72"]),
    "B": (71, ["0,0 95,0/24 95,47/22 8,47", "8,47 100,47/24 100,100/26 0,100", "8,0 8,100"]),
    "C": (70, ["100,26 100,0/26 0,0/26 0,100/26 100,100/26 100,74"]),
    "D": (70, ["0,0 100,0/27 100,100/27 0,100", "8,0 8,100"]),
    "E": (63, ["100,0 0,0 0,100 100,100", "0,48 84,48"]),
    "F": (63, ["100,0 0,0 0,100", "0,48 84,48"]),
    "G": (71, ["100,24 100,0/26 0,0/26 0,100/26 100,100/26 100,54 55,54"]),
    "H": (71, ["0,0 0,100", "100,0 100,100", "0,48 100,48"]),
    "I": (17, ["50,0 50,100"]),
    "J": (57, ["100,0 100,100/26 0,100/26 0,76"]),
    "K": (77, ["0,0 0,100", "100,0 0,66", "30,46 100,100"]),
    "L": (63, ["0,0 0,100 100,100"]),
    "M": (81, ["0,100 0,0", "0,0 50,54 100,0", "100,0 100,100"]),
    "N": (75, ["0,100 0,0", "0,0 100,100", "100,100 100,0"]),
    "O": (71, ["0,0/26 100,0/26 100,100/26 0,100/26 z"]),
    "P": (70, ["0,100 0,0 100,0/26 100,56/26 0,56"]),
    "Q": (71, ["0,0/26 100,0/26 100,100/26 0,100/26 z", "62,76 92,100"]),
    "R": (73, ["0,100 0,0 97,0/25 97,53/25 0,53", "45,53 100,100"]),
    "S": (72, ["100,24 100,0/26 0,0/26 0,46/22 100,54/22 100,100/26 0,100/26 0,76"]),
    "T": (70, ["0,0 100,0", "50,0 50,100"]),
    "U": (71, ["0,0 0,100/26 100,100/26 100,0"]),
    "V": (77, ["0,0 44,100 56,100 100,0"]),
    "W": (84, ["0,0 16,100 24,100 50,34 76,100 84,100 100,0"]),
    "X": (77, ["0,0 100,100", "100,0 0,100"]),
    "Y": (75, ["0,0 50,54 100,0", "50,54 50,100"]),
    "Z": (63, ["0,0 100,0 0,100 100,100"]),
}

# The Mercosul face: every glyph made hard to alter into another one (0 is not O, 1 has a foot, I has serifs, ...).
FE = {
    "0": (60, ["0,0/13 100,0/13 100,100/13 0,100/13 z"]),
    "1": (58, ["4,24 52,0 52,100", "0,100 100,100"]),
    "2": (60, ["0,18 0,0/21 100,0/21 100,44/10 0,100 100,100"]),
    "3": (60, ["0,14 0,0 94,0 42,42 60,42/6 100,48/16 100,100/20 0,100/20 0,74"]),
    "4": (60, ["60,0 0,72 100,72", "72,46 72,100"]),
    "5": (60, ["94,0 3,0 3,44 100,44/22 100,100/22 0,100/20 0,78"]),
    "6": (60, ["70,0 0,60", "0,48/22 100,48/22 100,100/22 0,100/22 z"]),
    "7": (58, ["0,14 0,0 100,0 42,58 42,100"]),
    "8": (60, ["13,0/16 87,0/16 87,43/16 13,43/16 z", "0,43/20 100,43/20 100,100/20 0,100/20 z"]),
    "9": (60, ["30,100 100,40", "0,0/22 100,0/22 100,52/22 0,52/22 z"]),
    "A": (64, ["0,100 38,0 62,0 100,100", "14,74 86,74"]),
    "B": (62, ["0,0 93,0/16 93,46/14 8,46", "8,46 100,46/16 100,100/18 0,100", "8,0 8,100"]),
    "C": (62, ["100,26 100,0/18 0,0/18 0,100/18 100,100/18 100,64"]),
    "D": (62, ["0,0 100,0/20 100,100/20 0,100", "12,0 12,100"]),
    "E": (60, ["92,0 0,0 0,100 100,100", "0,46 76,46"]),
    "F": (60, ["100,0 0,0 0,100", "0,54 76,54"]),
    "G": (62, ["96,22 96,0/18 0,0/18 0,100/18 100,100 100,50 48,50"]),
    "H": (62, ["0,0 0,100", "100,0 100,100", "0,46 100,46"]),
    "I": (50, ["12,0 88,0", "50,0 50,100", "0,100 100,100"]),
    "J": (60, ["26,0 100,0 100,100/20 0,100/20 0,66"]),
    "K": (62, ["0,0 0,100", "100,0 0,66", "26,50 100,100"]),
    "L": (60, ["0,0 0,100 100,100 100,82"]),
    "M": (66, ["0,100 0,0", "0,0 50,62 100,0", "100,0 100,100"]),
    "N": (64, ["0,100 0,0", "0,0 100,100", "100,100 100,0"]),
    "O": (62, ["0,0/99 100,0/99 100,100/99 0,100/99 z"]),
    "P": (62, ["0,0 100,0/20 100,58/20 10,58", "10,0 10,100"]),
    "Q": (64, ["0,0/22 94,0/22 94,96/22 0,96/22 z", "48,72 100,104"]),
    "R": (62, ["0,100 0,0 96,0/18 96,52/18 0,52", "44,52 100,100"]),
    "S": (62, ["96,22 96,0/20 4,0/20 4,44/14 100,56/14 100,100/20 0,100/20 0,74"]),
    "T": (60, ["0,0 100,0", "50,0 50,100"]),
    "U": (62, ["0,0 0,100/20 90,100/20 90,0", "90,60 90,100 104,100"]),
    "V": (64, ["0,0 46,100 54,100 100,0"]),
    "W": (66, ["0,0 16,100 24,100 50,42 76,100 84,100 100,0"]),
    "X": (64, ["0,0 100,100", "100,0 0,100"]),
    "Y": (64, ["0,0 50,52 100,0", "50,52 50,100"]),
    "Z": (60, ["0,0 100,0 0,100 100,100"]),
}

# Close relatives: European road lettering tells 1 from I by a flag; American dies add a foot and serifs.
ROAD = OLD | {
    "4": (75, ["58,0 0,77 100,77", "74,46 74,100"]),
    "7": (63, ["0,0 100,0/4 34,100"]),
    "M": (86, ["0,100 0,0", "0,0 50,62 100,0", "100,0 100,100"]),
    "0": (62, ["0,0/23 100,0/23 100,100/23 0,100/23 z"]),
    "1": (40, ["0,26 100,0/0 100,100"]),
    "6": (66, ["74,0 6,48/20 0,70", "0,46/25 100,46/25 100,100/25 0,100/25 z"]),
    "9": (66, ["26,100 94,52/20 100,30", "0,0/25 100,0/25 100,54/25 0,54/25 z"]),
    "A": (72, ["0,100 42,0 58,0 100,100", "16,72 84,72"]),
    "B": (66, ["0,0 95,0/24 95,47/22 0,47 z", "0,47 100,47/24 100,100/26 0,100 z"]),
    "D": (66, ["0,0 100,0/27 100,100/27 0,100 z"]),
    "Q": (68, ["0,0/25 100,0/25 100,100/25 0,100/25 z", "56,70 100,104"]),
}
DIE = ROAD | {
    "1": (46, ["0,20 52,0/0 52,100", "0,100 100,100"]),
    "4": (68, ["72,100 72,0 0,74 100,74"]),
    "6": OLD["6"],
    "9": OLD["9"],
    "G": (68, ["100,24 100,0/25 0,0/25 0,100/25 100,100/25 100,52 52,52"]),
    "I": (44, ["0,0 100,0", "50,0 50,100", "0,100 100,100"]),
    "M": (80, ["0,100 0,0", "0,0 50,78 100,0", "100,0 100,100"]),
    "3": (66, ["0,22 0,0/25 100,0/25 100,48/22 36,48", "36,48 100,48/22 100,100/25 0,100/25 0,78"]),
}
# The plain grotesque of newer American plates: no foot and no serifs, W and M with points that reach far.
GOTHIC = DIE | {
    "1": (36, ["0,20 62,0/0 62,100"]),
    "I": (20, ["50,0 50,100"]),
    "3": (64, ["0,22 0,0/25 100,0/25 100,48/22 36,48", "36,48 100,48/22 100,100/25 0,100/25 0,78"]),
    "4": (70, ["62,0 0,78 100,78", "76,40 76,100"]),
    "6": (66, ["100,22 100,0/26 0,0/26 0,100/26 100,100/26 100,44/26 0,44"]),
    "7": (62, ["0,0 100,0/4 38,100"]),
    "M": (82, ["0,100 0,0", "0,0 50,100 100,0", "100,0 100,100"]),
    "W": (88, ["0,0 22,100 30,100 50,6 70,100 78,100 100,0"]),
    "Q": (68, ["0,0/25 100,0/25 100,100/25 0,100/25 z", "58,74 96,108"]),
}
# Condensed dies: upright W and M, boxy bowls, a footed 1; and the two road faces in their narrow and wide forms.
NARROW = {char: (width * 0.82, strokes) for char, (width, strokes) in DIE.items()} | {
    "0": (52, ["0,0/22 100,0/22 100,100/22 0,100/22 z"]),
    "4": (56, ["64,0 0,70 100,70", "78,38 78,100"]),
    "M": (64, ["0,100 0,0", "0,0 50,56 100,0", "100,0 100,100"]),
    "N": (56, ["0,100 0,0", "0,4 100,96", "100,100 100,0"]),
    "W": (64, ["0,0 12,100 20,100 50,40 80,100 88,100 100,0"]),
}
# Many American presses have one cell for every character: M and W crammed, V nearly a U, a 1 with a short flag.
FIXED = {char: (50, strokes) for char, (_, strokes) in NARROW.items()} | {
    "0": (50, ["0,0/20 100,0/20 100,100/20 0,100/20 z"]),
    "1": (36, ["0,15 55,0/0 55,100", "0,100 100,100"]),
    "4": (50, ["60,0 0,72 100,72", "78,42 78,100"]),
    "A": (50, ["0,100 42,0 58,0 100,100", "14,72 86,72"]),
    "I": (36, ["0,0 100,0", "50,0 50,100", "0,100 100,100"]),
    "J": (46, ["100,0 100,100/18 0,100/18 0,74"]),
    "M": (50, ["0,100 0,0", "0,0 50,50 100,0", "100,0 100,100"]),
    "V": (50, ["0,0 42,100 58,100 100,0"]),
    "W": (50, ["0,0 8,100 16,100 50,48 84,100 92,100 100,0"]),
}
# The same cells with bent 6 and 9 and a 4 that stays open: a slanted stroke and a short stem.
OPEN = FIXED | {
    "1": (40, ["0,18 52,0/0 52,100", "0,100 100,100"]),
    "4": (50, ["50,0 0,76 100,76", "74,50 74,100"]),
    "6": (50, ["70,0 4,52/14 0,70", "0,47/20 100,47/20 100,100/20 0,100/20 z"]),
    "7": (48, ["0,0 100,0/4 34,100"]),
    "9": (50, ["30,100 96,48/14 100,30", "0,0/20 100,0/20 100,53/20 0,53/20 z"]),
    "V": (50, ["0,0 46,100 54,100 100,0"]),
    "W": (50, ["0,0 10,100 18,100 50,30 82,100 90,100 100,0"]),
}
# Western presses: V with legs that stay upright halfway down, 4 and 1 with little more than a stroke and a stub.
WEST = OPEN | {
    "1": (34, ["0,10 50,0/0 50,100", "0,100 100,100"]),
    "4": (52, ["52,0 0,78 100,78", "80,56 80,100"]),
    "V": (52, ["0,0 6,40 40,100 60,100 94,40 100,0"]),
    "Y": (50, ["0,0 6,24 50,56 94,24 100,0", "50,56 50,100"]),
}
DIN = {char: (width * 0.9, strokes) for char, (width, strokes) in ROAD.items()} | {
    "1": (36, ["0,24 62,0/0 62,100"]),
    "I": (17, ["50,0 50,100"]),
    "3": (60, ["0,0 96,0 44,42 60,42/10 100,50/20 100,100/26 0,100/26 0,78"]),
    "4": (66, ["50,0 0,74 100,74", "72,44 72,100"]),
    "J": (48, ["100,0 100,100/24 0,100/22 0,84"]),
    "M": (74, ["0,100 0,0", "0,0 50,66 100,0", "100,0 100,100"]),
}
UK = ROAD | {
    "0": (64, ["0,0/26 100,0/26 100,100/26 0,100/26 z"]),
    "1": (18, ["50,0 50,100"]),
    "4": (66, ["68,0 0,72 100,72", "76,36 76,100"]),
    "7": (62, ["0,0 100,0 42,60/30 34,100"]),
    "I": (18, ["50,0 50,100"]),
    "O": (64, ["0,0/26 100,0/26 100,100/26 0,100/26 z"]),
    "W": (86, ["0,0 20,100 28,100 50,8 72,100 80,100 100,0"]),
}
# `|` is where a seal, crest or sticker stands between the groups; plate.py draws it.
PUNCTUATION = {"-": (34, ["0,52 100,52"]), ".": (18, ["50,52 50,52"]), " ": (30, []), "|": (36, [])}
FACES = {
    "old": OLD,
    "fe": FE,
    "road": ROAD,
    "din": DIN,
    "uk": UK,
    "die": DIE,
    "gothic": GOTHIC,
    "narrow": NARROW,
    "fixed": FIXED,
    "open": OPEN,
    "west": WEST,
}


def glyph_width(face: str, char: str) -> float:
    """Width of `char` where the cap height is 100. Raises KeyError for a character the face does not have."""
    return (PUNCTUATION.get(char) or FACES[face][char])[0]


@lru_cache(maxsize=6000)
def glyph_mask(face: str, char: str, stroke: int, roundness: int = 100) -> np.ndarray:
    """Coverage (uint8, MASK_HEIGHT_PX high) of one glyph with the stroke width `stroke` (cap height = 100).

    `roundness` scales the radii, in per cent: worn and older dies are boxier, others rounder, than the drawing.
    """
    width, strokes = PUNCTUATION.get(char) or FACES[face][char]
    scale = 2 * MASK_HEIGHT_PX / 100
    size = (max(2, round(width * scale)), 2 * MASK_HEIGHT_PX)
    mask = np.zeros(size[::-1], np.uint8)
    for text in strokes:
        points, closed = _centerline(text, width, stroke, roundness / 100)
        _draw_stroke(mask, points * scale, closed, stroke * scale / 2)
    return cv2.resize(mask, (max(1, size[0] // 2), MASK_HEIGHT_PX), interpolation=cv2.INTER_AREA)


def _centerline(text: str, width: float, stroke: float, roundness: float) -> tuple[np.ndarray, bool]:
    """The stroke's center as a polyline in glyph units, its rounded vertices replaced by arcs."""
    parts = text.split()
    closed = parts[-1] == "z"
    vertices, radii = [], []
    for part in parts[: -1 if closed else None]:
        point, _, radius = part.partition("/")
        x, y = (float(v) for v in point.split(","))
        span = max(0.0, width - stroke)
        vertices.append((stroke / 2 + x / 100 * span, stroke / 2 + y / 100 * (100 - stroke)))
        radii.append(float(radius or 0) * roundness)
    v = np.array(vertices)
    out: list[np.ndarray] = []
    count = len(v)
    for i in range(count):
        inner = closed or 0 < i < count - 1
        if not inner or radii[i] == 0:
            out.append(v[i])
            continue
        before, after = v[i - 1] - v[i], v[(i + 1) % count] - v[i]
        a, b = np.hypot(*before), np.hypot(*after)
        p, q = v[i] + before / a * min(radii[i], a / 2), v[i] + after / b * min(radii[i], b / 2)
        # A rational quadratic with weight cos(45 degrees) is a circular arc at right angles and close to one else.
        t = np.linspace(0, 1, 13)[:, None]
        weight = 2 * t * (1 - t) * np.cos(np.pi / 4)
        out.extend(((1 - t) ** 2 * p + weight * v[i] + t**2 * q) / ((1 - t) ** 2 + weight + t**2))
    return np.array(out), closed


def _draw_stroke(mask: np.ndarray, points: np.ndarray, closed: bool, half: float) -> None:
    """Fill a stroke segment by segment; corners get a miter up to twice the half width, ends are square."""
    keep = [0] + [i for i in range(1, len(points)) if np.hypot(*(points[i] - points[i - 1])) > 1e-6]
    pts = points[keep]
    if len(pts) == 1:
        _fill(mask, pts[0] + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))
        return
    if closed and np.hypot(*(pts[0] - pts[-1])) > 1e-6:
        pts = np.vstack([pts, pts[0]])
    direction = np.diff(pts, axis=0)
    direction /= np.hypot(direction[:, 0], direction[:, 1])[:, None]
    normal = np.stack([-direction[:, 1], direction[:, 0]], 1) * half
    last = len(direction) - 1
    for i, (d, n) in enumerate(zip(direction, normal, strict=True)):
        start, end = pts[i].copy(), pts[i + 1].copy()
        reach = d * half * (1.0 if min(abs(d)) < 0.05 else 2.0)
        if not closed and i == 0:
            start -= reach
        if not closed and i == last:
            end += reach
        _fill(mask, np.array([start + n, end + n, end - n, start - n]))
        if i == last and not closed:
            continue
        following = (i + 1) % (last + 1)
        cosine = float(np.clip(d @ direction[following], -1, 1))
        middle = normal[i] + normal[following]
        length = np.hypot(*middle)
        if length < 1e-6:
            continue
        tip = middle / length * half * min(2.0, 1 / max(0.05, np.sqrt((1 + cosine) / 2)))
        corner = pts[i + 1]
        for side in (1, -1):
            _fill(mask, corner + side * np.array([[0, 0], normal[i], tip, normal[following]]))


def _fill(mask: np.ndarray, polygon: np.ndarray) -> None:
    cv2.fillConvexPoly(mask, np.round(polygon * 16).astype(np.int32), 255, cv2.LINE_8, 4)
