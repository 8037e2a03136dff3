"""Brazilian plates (the old ones with the city, the Mercosul ones) and the other Mercosur countries'."""

import numpy as np

from .canvas import Canvas
from .furniture import ink_near, shade
from .geometry import BLANKS, Blank, Color, Design
from .patterns import PATTERNS, fits, grouped, set_in

BAND_BLUE = (14, 56, 142)
BAND_MM = 30
STATES = "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO".split()
CITIES = (
    "SP-SAO PAULO,SP-CAMPINAS,SP-SANTOS,SP-OSASCO,SP-BAURU,RJ-RIO DE JANEIRO,RJ-NITEROI,MG-BELO HORIZONTE,MG-UBERABA,"
    "BA-SALVADOR,BA-ILHEUS,BA-FEIRA DE SANTANA,PR-CURITIBA,PR-LONDRINA,PR-PARANAGUA,RS-PORTO ALEGRE,RS-CAXIAS DO SUL,"
    "SC-JOINVILLE,SC-FLORIANOPOLIS,PE-RECIFE,PE-OLINDA,CE-FORTALEZA,PA-BELEM,AM-MANAUS,GO-GOIANIA,DF-BRASILIA,"
    "ES-VITORIA,MT-CUIABA,MS-CAMPO GRANDE,PB-JOAO PESSOA,RN-NATAL,MA-SAO LUIS,AL-MACEIO,SE-ARACAJU,PI-TERESINA,PARANA"
).split(",")
SYLLABLES = "BA CA DO FOR GUA JA LIM MA NA PA RI SAL SAN TA TE VI ZAL RO BE LO CURI TIBA POR TO LA GES".split()
COUNTRIES = {
    "AR": ("REPUBLICA ARGENTINA", "ARGENTINA"),
    "UY": ("URUGUAY",),
    "PY": ("REPUBLICA DEL PARAGUAY", "PARAGUAY"),
}


def design(text: str, layout: str, rng: np.random.Generator) -> Design:
    if layout == "mercosur":
        return _mercosur_design(text, rng)
    blanks = BLANKS[layout]
    blank = blanks[0] if rng.random() < 0.75 else blanks[rng.integers(len(blanks))]
    if len(blank.rows) == 2:
        return Design(blank, (text[:3], text[3:]), 0.0)
    return Design(blank, (f"{text[:3]}.{text[3:]}" if layout == "br-old" else text,), 0.0)


def _mercosur_design(text: str, rng: np.random.Generator) -> Design:
    forms = [form for form in PATTERNS["mercosur"] if fits(form, text)]
    form = forms[rng.integers(len(forms))] if forms else None
    line = set_in(form, text) if form else grouped(text, 1 + int(len(text) > 2 and rng.random() < 0.3), rng)
    owner = {"LL NNN LL": "AR", "LNNN/LLL": "AR", "LLLL NNN": "PY", "NNN/LLLL": "PY"}.get(form or "", "UY")
    if form is None:
        owner = ("AR", "UY", "PY")[rng.integers(3)]
    lines = tuple(line.split("/"))
    return Design(BLANKS["mercosur"][len(lines) - 1], lines, 0.3, owner)


def draw(canvas: Canvas, layout: str, plan: Design, paint: Color, rng: np.random.Generator) -> None:
    """What lies below the characters."""
    if layout.startswith("br-old"):
        _city_strip(canvas, plan.blank, paint, rng)
    elif layout.startswith("br-mercosul"):
        _band(canvas, plan.blank, "BRASIL", "BR", rng)
        wide = plan.blank.width > 300
        _qr(canvas, 8, 38, 20 if wide else 13, rng)
        canvas.text("BR", "road", 16, 18 if wide else 17, plan.blank.height - (26 if wide else 24), 12, paint.text)
    else:
        names = COUNTRIES[plan.series]
        _band(canvas, plan.blank, names[-1 if plan.blank.width < 300 else rng.integers(len(names))], plan.series, rng)


def _city_strip(canvas: Canvas, blank: Blank, paint: Color, rng: np.random.Generator) -> None:
    """The aluminium strip with state and city, riveted above the characters, and now and then a yearly seal."""
    wide = blank.width > 300
    inset, top, height = (58, 13, 22) if wide else (26, 10, blank.rows[0].top - 17)
    if rng.random() < 0.85:
        canvas.rect(inset, top, blank.width - 2 * inset, height, shade(paint.background, rng.uniform(0.9, 1.1)))
        for y in (top, top + height):
            canvas.rect(inset, y, blank.width - 2 * inset, 0.7, shade(paint.background, 0.7))
    if rng.random() < 0.6:
        city = CITIES[rng.integers(len(CITIES))]
    else:
        name = "".join(SYLLABLES[rng.integers(len(SYLLABLES))] for _ in range(rng.integers(2, 5)))
        city = f"{STATES[rng.integers(len(STATES))]}-{name[:12]}"
    size = min(height - 8, 1.5 * (blank.width - 2 * inset) / len(city))
    canvas.text(city, "old", 14, blank.width / 2, top + (height - size) / 2, size, paint.text)
    if wide and rng.random() < 0.4:
        canvas.circle(inset - 12, top + 10, 7.5, tuple(int(v) for v in rng.integers(20, 220, 3)))


def _band(canvas: Canvas, blank: Blank, country: str, code: str, rng: np.random.Generator) -> None:
    """The blue band over the whole width: the bloc's emblem, the country's name, its flag."""
    canvas.rect(0, 0, blank.width, BAND_MM, ink_near(BAND_BLUE, 6, rng))
    wide = blank.width > 300
    canvas.text(country, "road", 17, blank.width / 2, 8.5, 14 if len(country) < 12 else 11, (240, 240, 240))
    x = 8 if wide else 6
    for i, (dx, dy) in enumerate(((6, 11), (11, 9), (16, 11), (11, 15))):
        canvas.circle(x + dx, dy, 1.3 + 0.2 * (i == 3), (236, 236, 236))
    canvas.polygon([(x + 2, 20), (x + 11, 17), (x + 21, 20), (x + 21, 22), (x + 2, 22)], (60, 150, 90))
    _flag(canvas, code, blank.width - (38 if wide else 30), 6, 26 if wide else 20, 18 if wide else 14)


def _flag(canvas: Canvas, code: str, x: float, y: float, width: float, height: float) -> None:
    cx, cy = x + width / 2, y + height / 2
    if code == "BR":
        canvas.rect(x, y, width, height, (16, 140, 70))
        rhomb = [(cx, y + 0.1 * height), (x + 0.9 * width, cy), (cx, y + 0.9 * height), (x + 0.1 * width, cy)]
        canvas.polygon(rhomb, (250, 214, 40))
        canvas.circle(cx, cy, height * 0.22, (16, 44, 120))
    elif code == "UY":
        for stripe in range(9):
            canvas.rect(x, y + stripe * height / 9, width, height / 9, ((246, 246, 246), (60, 100, 180))[stripe % 2])
        canvas.rect(x, y, height * 5 / 9, height * 5 / 9, (246, 246, 246))
        canvas.circle(x + height * 0.28, y + height * 0.28, height * 0.18, (246, 190, 40))
    else:
        stripes = {
            "AR": ((116, 172, 223), (246, 246, 246), (116, 172, 223)),
            "PY": ((206, 40, 44), (246, 246, 246), (24, 60, 160)),
        }[code]
        for i, color in enumerate(stripes):
            canvas.rect(x, y + i * height / 3, width, height / 3, color)
        canvas.circle(cx, cy, height * 0.12, (246, 180, 14) if code == "AR" else (80, 130, 70))


def _qr(canvas: Canvas, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    cells = rng.random((15, 15)) < 0.5
    for corner in ((0, 0), (0, 11), (11, 0)):
        block = np.ones((4, 4), bool)
        block[1:3, 1:3] = False
        cells[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = block
    step = size / 15
    canvas.rect(x - step, y - step, size + 2 * step, size + 2 * step, (226, 226, 222))
    for row, column in zip(*np.nonzero(cells), strict=True):
        canvas.rect(x + column * step, y + row * step, step, step, (40, 40, 44))
