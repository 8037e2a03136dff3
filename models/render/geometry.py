"""Sizes, rows, colors and categories of the plate layouts, in millimeters.

Sources: CONTRAN resolutions 231/2007, 309/2009 and 372/2011 (old Brazilian plates), CONTRAN 969/2022 and MERCOSUR GMC
33/14 (Mercosul), common European 520x110 and 280x200 plates, AAMVA's 12x6 inch plate.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Design:
    """What one plate is going to look like, before anything is drawn.

    `lines` hold the characters and the marks between groups, one a row. `loose` (0..1) is how far width and spacing
    stray from the regulation. `series` is a country's code or a family of states, `emblem` what `|` shows.
    """

    blank: Blank
    lines: tuple[str, ...]
    loose: float = 1.0
    series: str = ""
    emblem: str = "seals"
    strip: str = ""


BLANKS: dict[str, tuple[Blank, ...]] = {
    "br-old": (Blank(400, 130, (Row(48, 64, 16.5, 6.5),), "old", 12, 388),),
    # Motorcycles got the larger plate in 2012; the older one keeps its place on older motorcycles.
    "br-old-moto": (
        Blank(200, 170, (Row(37, 54, 15.5, 6), Row(102, 54, 15.5, 6)), "old", 10, 190),
        Blank(187, 136, (Row(32, 42, 15.5, 6), Row(83, 42, 15.5, 6)), "old", 10, 177),
    ),
    "br-mercosul": (Blank(400, 130, (Row(46, 65, 15.5, 9),), "fe", 36, 388),),
    "br-mercosul-moto": (Blank(200, 170, (Row(42, 53, 15.5, 9), Row(106, 53, 15.5, 8)), "fe", 24, 186),),
    "mercosur": (
        Blank(400, 130, (Row(46, 65, 15, 9),), "fe", 14, 386),
        Blank(200, 170, (Row(42, 53, 15, 9), Row(106, 53, 15, 8)), "fe", 12, 188),
    ),
    "eu": (
        Blank(520, 110, (Row(18, 75, 14.5, 9),), "road", 14, 508),
        Blank(280, 200, (Row(16, 75, 14.5, 9), Row(108, 75, 14.5, 9)), "road", 14, 270),
        Blank(340, 220, (Row(22, 78, 15, 9), Row(120, 78, 15, 9)), "road", 14, 325),
    ),
    "us": (
        Blank(305, 152, (Row(44, 72, 12, 6),), "die", 10, 295, 14),
        Blank(305, 152, (Row(40, 78, 13, 5),), "die", 8, 297, 14),
        Blank(305, 152, (Row(46, 64, 13, 6),), "die", 12, 293, 14),
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
# The first color of a layout is the private vehicles'.
COLORS: dict[str, dict[str, Color]] = {
    "br-old": _OLD,
    "br-old-moto": _OLD,
    "br-mercosul": _MERCOSUL,
    "br-mercosul-moto": _MERCOSUL,
    "mercosur": {k: _MERCOSUL[k] for k in ("black", "red", "blue", "green", "golden")},
    "eu": {
        "white": Color((238, 238, 234), _BLACK),
        "yellow": Color((236, 190, 44), _BLACK),
        "red": Color((238, 236, 232), (190, 36, 38)),
        "green": Color((238, 238, 234), (26, 118, 66)),
        "black": Color((30, 30, 32), (226, 226, 222)),
        "blue": Color((28, 74, 160), (232, 234, 236)),
    },
    "us": {
        "white": Color((232, 234, 236), (28, 42, 96)),
        "ink": Color((230, 230, 228), (24, 24, 30)),
        "sky": Color((190, 212, 234), (30, 34, 60)),
        "cream": Color((236, 226, 196), (36, 72, 44)),
        "yellow": Color((236, 198, 76), (28, 36, 80)),
        "blue": Color((36, 58, 124), (232, 222, 150)),
        "navy": Color((28, 44, 104), (236, 236, 236)),
        "red": Color((238, 234, 230), (160, 30, 36)),
        "maroon": Color((236, 226, 214), (104, 26, 40)),
        "orange": Color((240, 220, 190), (24, 92, 62)),
        "green": Color((34, 96, 66), (236, 236, 230)),
        "black": Color((28, 28, 30), (232, 206, 70)),
    },
    "other": {
        "yellow": Color((240, 200, 40), _BLACK),
        "white": Color(_WHITE, (24, 30, 60)),
        "green": Color(_WHITE, (20, 96, 56)),
        "black": Color((26, 26, 28), (228, 226, 220)),
        "blue": Color((24, 60, 150), (236, 236, 236)),
    },
}

CATEGORIES = ("private", "commercial", "official", "special", "diplomatic", "collector", "other")
_OLD_CATEGORY = {
    "grey": "private",
    "red": "commercial",
    "white": "official",
    "green": "special",
    "blue": "diplomatic",
    "black": "collector",
}
_MERCOSUL_CATEGORY = {
    "black": "private",
    "red": "commercial",
    "blue": "official",
    "green": "special",
    "golden": "diplomatic",
    "grey": "collector",
}
#: What a color means, where it means one thing; elsewhere countries and states differ and the category is `other`.
CATEGORY: dict[str, dict[str, str]] = {
    "br-old": _OLD_CATEGORY,
    "br-old-moto": _OLD_CATEGORY,
    "br-mercosul": _MERCOSUL_CATEGORY,
    "br-mercosul-moto": _MERCOSUL_CATEGORY,
    "mercosur": _MERCOSUL_CATEGORY,
}
