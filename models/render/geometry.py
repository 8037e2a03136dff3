"""Sizes, rows, colors and text patterns of the plate layouts, in millimeters.

Sources: CONTRAN resolutions 231/2007 and 309/2009 (old Brazilian plates), CONTRAN 969/2022 and MERCOSUR GMC 33/14
(Mercosul), common European 520x110 and 280x200 plates, AAMVA's 12x6 inch plate.
"""

from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    """One line of characters: `top` and `height` in mm, `stroke` per cent of the height, `gap` between characters."""

    top: float
    height: float
    stroke: float = 16.0
    gap: float = 6.5


@dataclass(frozen=True)
class Blank:
    """An empty plate. `left` and `right` bound the text (band, stars and seals stay outside)."""

    width: float
    height: float
    rows: tuple[Row, ...]
    face: str
    left: float
    right: float
    corner: float = 8.0


@dataclass(frozen=True)
class Color:
    background: RGB
    text: RGB


BLANKS: dict[str, tuple[Blank, ...]] = {
    "br-old": (Blank(400, 130, (Row(48, 64, 16.5, 6.5),), "old", 12, 388),),
    "br-old-moto": (Blank(200, 170, (Row(37, 54, 15.5, 6), Row(102, 54, 15.5, 6)), "old", 10, 190),),
    "br-mercosul": (Blank(400, 130, (Row(46, 65, 15.5, 9),), "fe", 36, 388),),
    "br-mercosul-moto": (Blank(200, 170, (Row(42, 53, 15.5, 9), Row(106, 53, 15.5, 8)), "fe", 24, 186),),
    "mercosur": (
        Blank(400, 130, (Row(46, 65, 15, 9),), "fe", 14, 386),
        Blank(200, 170, (Row(42, 53, 15, 9), Row(106, 53, 15, 8)), "fe", 12, 188),
    ),
    "eu": (
        Blank(520, 110, (Row(18, 75, 14.5, 9),), "road", 54, 508),
        Blank(520, 110, (Row(18, 75, 15, 9),), "fe", 54, 508),
        Blank(520, 110, (Row(18, 75, 15, 8),), "old", 14, 508),
        Blank(280, 200, (Row(16, 75, 14.5, 9), Row(108, 75, 14.5, 9)), "road", 50, 270),
        Blank(340, 220, (Row(22, 78, 15, 9), Row(120, 78, 15, 9)), "fe", 20, 325),
    ),
    "us": (
        Blank(305, 152, (Row(44, 72, 12, 6),), "die", 10, 295, 14),
        Blank(305, 152, (Row(40, 78, 13, 5),), "die", 8, 297, 14),
        Blank(305, 152, (Row(44, 68, 13, 6),), "road", 12, 293, 14),
    ),
    "other": (
        Blank(440, 140, (Row(35, 90, 14, 10),), "die", 16, 424),
        Blank(372, 134, (Row(30, 78, 15, 9),), "old", 14, 358),
        Blank(520, 112, (Row(20, 76, 15, 8),), "die", 20, 500),
        Blank(330, 165, (Row(14, 50, 14, 8), Row(76, 78, 14, 8)), "road", 14, 316),
        Blank(220, 160, (Row(14, 60, 14, 7), Row(86, 60, 14, 7)), "die", 10, 210),
    ),
}
LAYOUTS = tuple(BLANKS)

_BLACK, _WHITE, _SILVER = (18, 18, 20), (236, 236, 232), (186, 188, 186)
_MERCOSUL = {
    "black": Color(_WHITE, (16, 16, 18)),
    "red": Color(_WHITE, (176, 26, 32)),
    "blue": Color(_WHITE, (22, 62, 150)),
    "green": Color(_WHITE, (18, 112, 62)),
    "golden": Color(_WHITE, (176, 132, 36)),
    "grey": Color((28, 28, 30), (188, 190, 192)),
}
_OLD = {
    "grey": Color(_SILVER, _BLACK),
    "red": Color((168, 28, 30), (238, 232, 226)),
    "white": Color(_WHITE, _BLACK),
    "black": Color((24, 24, 26), (206, 206, 204)),
    "blue": Color((28, 62, 140), (236, 236, 236)),
    "green": Color((24, 104, 62), (236, 236, 232)),
}
# Colors by name; the names are also the classes the reader's text can be stored with (private, commercial, ...).
COLORS: dict[str, dict[str, Color]] = {
    "br-old": _OLD,
    "br-old-moto": {k: _OLD[k] for k in ("grey", "red", "white")},
    "br-mercosul": _MERCOSUL,
    "br-mercosul-moto": {k: _MERCOSUL[k] for k in ("black", "red", "blue", "green")},
    "mercosur": {"black": _MERCOSUL["black"], "red": _MERCOSUL["red"], "blue": _MERCOSUL["blue"]},
    "eu": {
        "white": Color((238, 238, 234), _BLACK),
        "yellow": Color((236, 190, 44), _BLACK),
        "red": Color((238, 236, 232), (190, 36, 38)),
        "green": Color((238, 238, 234), (26, 118, 66)),
        "black": Color((30, 30, 32), (226, 226, 222)),
    },
    "us": {
        "white": Color((232, 234, 236), (28, 42, 96)),
        "sky": Color((190, 212, 234), (30, 34, 60)),
        "cream": Color((236, 226, 196), (36, 72, 44)),
        "yellow": Color((236, 198, 76), (28, 36, 80)),
        "blue": Color((36, 58, 124), (232, 222, 150)),
        "red": Color((238, 234, 230), (160, 30, 36)),
        "orange": Color((240, 220, 190), (24, 92, 62)),
    },
    "other": {
        "yellow": Color((240, 200, 40), _BLACK),
        "white": Color(_WHITE, (24, 30, 60)),
        "green": Color(_WHITE, (20, 96, 56)),
        "black": Color((26, 26, 28), (228, 226, 220)),
        "blue": Color((24, 60, 150), (236, 236, 236)),
    },
}

# L letter, N digit, A either; a space is where the plate groups its characters. Nine slots bound the length.
PATTERNS: dict[str, tuple[str, ...]] = {
    "br-old": ("LLL NNNN",),
    "br-old-moto": ("LLL NNNN",),
    "br-mercosul": ("LLLNLNN",),
    "br-mercosul-moto": ("LLL NLNN",),
    "mercosur": ("LL NNN LL", "LLL NNNN", "LLLL NNN", "LLL NNN", "NNN LLLL", "LL NNNNN", "L NNN LLL"),
    "eu": (
        "LL NNNLL",
        "NLN NNNN",
        "NLL NNNN",
        "LL LLNNNN",
        "L LLNNN",
        "LLL LLNNN",
        "LL NNNNN",
        "NNNN LLL",
        "LLL NNNN",
        "LLNN LLL",
        "L NNNN L",
        "LL NNN LL",
        "LLL NNN",
        "LL NNNN LL",
        "NN LL LL",
        "NN LLL N",
        "LLL LNNNN",
        "LL NN LLL",
        "LLL NNNNN",
        "N LLL NNN",
        "LL NNNN",
        "LL NNNNLL",
        "LL LLNNN",
        "LL NNNAA",
        "LL AAANN",
    ),
    "us": (
        "LLN LNL",
        "LLN LNL",
        "LNN NNNN",
        "LLL LNN",
        "LNNNNNN",
        "NLL NNN",
        "LLN NNN",
        "NLLLNNN",
        "LLL NNNN",
        "LLLNNNN",
        "LLL NNN",
        "NNN LLL",
        "LL NNNNN",
        "LLN NNL",
        "NNNN LL",
        "NNNLLL",
        "LLNNNN",
        "NLL NNNN",
        "AAA NNNN",
        "AAAAAA",
        "AAAAAAA",
        "NNNNNN",
        "LNN NNN",
        "NN LLLL",
        "LLLNNL",
        "NNLLNN",
        "NLLNNN",
    ),
    "other": (
        "LL NN LL NNNN",
        "LLL NNN",
        "LL NNNN",
        "LNNNNN",
        "NN LL NNNN",
        "LLLL NNNN",
        "NNNNNNN",
        "NNLNNNN",
        "LNN LLL",
    ),
}
MAX_TEXT = 9
# What stands between the groups; `|` is a seal, a crest or a sticker.
MARKS = (" ", " ", " ", "-", ".", "|", "|", "|")


def random_pattern(layout: str, rng: np.random.Generator) -> str:
    """One of the layout's patterns that fits into the reader's nine slots."""
    fitting = [p for p in PATTERNS[layout] if len(p.replace(" ", "")) <= MAX_TEXT]
    return fitting[rng.integers(len(fitting))]


def text_rows(text: str, blank: Blank, layout: str, rng: np.random.Generator) -> list[str]:
    """`text` cut into the blank's rows, with `-`, `.` or a space where the layout groups characters."""
    if len(blank.rows) == 2:
        cut = 3 if layout.startswith("br-") or (layout == "mercosur" and len(text) != 8) else len(text) // 2
        if not layout.startswith(("br-", "mercosur")) and rng.random() < 0.5:
            cut = int(np.clip(rng.integers(2, 5), len(text) - 5, len(text) - 1))
        return [text[:cut], text[cut:]]
    if layout == "br-old":
        return [f"{text[:3]}.{text[3:]}"]
    if layout == "br-mercosul":
        return [text]
    return [_grouped(text, layout, rng)]


def _grouped(text: str, layout: str, rng: np.random.Generator) -> str:
    """Gaps where the text's kind of character fits a pattern of the layout, or else anywhere."""
    kinds = "".join("N" if c.isdigit() else "L" for c in text)
    fitting = [p for p in PATTERNS[layout] if p.replace(" ", "").replace("A", "L") == kinds.replace("A", "L")]
    mark = MARKS[rng.integers(len(MARKS))]
    if fitting:
        out, rest = [], list(text)
        for kind in fitting[rng.integers(len(fitting))]:
            out.append(mark if kind == " " else rest.pop(0))
        return "".join(out)
    if len(text) < 4 or rng.random() < 0.4:
        return text
    cut = int(rng.integers(2, len(text) - 1))
    return text[:cut] + mark + text[cut:]
