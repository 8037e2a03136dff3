"""How plates are lettered: text patterns of the layouts, grouping marks, and the European and American series.

In a form, L is a letter, N a digit, A either; everything else is what stands between the groups: a space, `-`, `.`,
`|` (a seal, crest or sticker) or `/` (the second row begins). Nine slots bound the length.
"""

from dataclasses import dataclass

import numpy as np

MAX_TEXT = 9
MARKS = " -.|/"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
# Many series leave out letters that look like digits: how often an `I`, `O` or `Q` is drawn anew.
CONFUSABLE = "IOQ"
# American dies draw these so differently, and so like one another (1 and I, V and U, 4 and L), that they come up more.
AMERICAN_OFTEN = {"L": "UVVL", "N": "1144"}


@dataclass(frozen=True)
class Series:
    """One country's (or, in America, one family of states') numbering; `weight` is how often it is drawn."""

    code: str
    forms: tuple[str, ...]
    weight: float = 1.0
    #: What `|` shows: `crest`, `crest-dash`, `seals` or `sticker`.
    emblem: tuple[str, ...] = ("seals",)
    #: Sides with a colored strip: `l`, `r`, both or none; `w` is a white strip with a crest above the code.
    strip: tuple[str, ...] = ("l",)
    faces: tuple[str, ...] = ("road",)
    avoids: float = 0.5


EUROPE = (
    Series("SK", ("LL|NNNLL", "LL-NNNLL", "LL NNNLL", "LL|AAAAA", "LL/NNNLL"), 7, ("crest-dash", "crest-dash", "crest",
           "crest", "seals"), ("w", "l", "l"), ("road", "road", "din"), 0.3),
    Series("CZ", ("NLN NNNN", "NLN|NNNN", "NLN|NNNN", "LLL|NN-NN", "LL|NN-NN", "NLN/NNNN", "LLL/NN-NN", "NAN NNNN"), 6,
           ("seals",), ("l", "l", ""), ("road", "din"), 0.7),
    Series("D", ("L|LL NNNN", "LL|LL NNN", "LLL|LL NNN", "LL|L NNNN", "L|L NNNN", "L|LL NN", "LLL|L NN", "LL|LL/NNNN",
           "L|LL/NNN", "L-LL NNN", "LLL/LL NN", "LN-LLL"), 4, ("seals",), ("l",), ("fe", "fe", "road"), 0.2),
    Series("PL", ("LL NNNNN", "LLL NNNN", "LL NNNNL", "LLL NNNL", "LL NNNLL", "LL|NNNNN", "LLL LNNN", "L NNNNNN",
           "LLL/NNNN", "LL/NNNNN", "WL AAAAA"), 5, ("sticker",), ("l",), ("road", "die", "din"), 0.6),
    Series("A", ("L|NNNNL", "LL|NNNLL", "LL|NNN LL", "L|NNNNNL", "LL/NNNLL", "W|NNNNNL", "L|LLLLL",
           "LL|LLLN"), 2, ("crest",)),
    Series("H", ("LLL-NNN", "LLL|NNN", "LL LL-NNN", "LLL/NNN"), 2, ("seals", "sticker"), ("l",), ("road", "die")),
    Series("NL", ("NN-LL-LL", "LL-NNN-L", "N-LLL-NN", "NN-LLL-N", "LL-LL-NN", "LL-NN-LL", "NN/LL-LL"), 2, ("seals",),
           ("l",), ("din", "road"), 0.7),
    Series("F", ("LL-NNN-LL", "NNNN LL NN", "NNN LLL NN", "LL-NNN/LL"), 2, ("seals",), ("lr", "l"), ("road", "din")),
    Series("GB", ("LLNN LLL", "LNNN LLL", "LLNN/LLL", "LLL NNNL"), 2, ("seals",), ("l", "", ""), ("din", "uk"), 0.6),
    Series("B", ("N-LLL-NNN", "LLL-NNN", "NNN-LLL", "NLLL/NNN"), 1, ("seals",), ("l",), ("road", "die")),
    Series("I", ("LL NNNLL", "LL/NNNLL"), 1.5, ("seals",), ("lr", "lr", "l"), ("die", "road")),
    Series("E", ("NNNN LLL", "L NNNN LL", "NNNN/LLL"), 1, ("seals",), ("l",), ("din", "road")),
    Series("P", ("NN-NN-LL", "LL-NN-LL", "NN-LL-NN", "LL/NN-LL"), 1, ("seals",), ("lr", "l"), ("road",)),
    Series("SLO", ("LL|LN-NNN", "LL|LL-NNN", "LL|NN-NNL", "LL/LN-NNN"), 1, ("crest",), ("l",), ("road", "din")),
    Series("HR", ("LL|NNN-LL", "LL|NNNN-L", "LL|NNN-L", "LL|NNNN-LL", "LL/NNN-LL"), 1.5, ("crest",), ("l", "l", "")),
    Series("SRB", ("LL|NNN-LL", "LL|NNNN-LL"), 0.6, ("crest",)),
    Series("RO", ("LL NN LLL", "L NNN LLL", "L NN LLL", "LL NN/LLL"), 1.5),
    Series("BG", ("LL NNNN LL", "L NNNN LL", "LL/NNNN LL"), 1),
    Series("GR", ("LLL-NNNN", "LLL/NNNN"), 0.7),
    Series("S", ("LLL NNN", "LLL|NNN", "LLL NNL", "LLL/NNN"), 1, ("sticker",)),
    Series("FIN", ("LLL-NNN", "LLL-NN", "LLL/NNN"), 0.7),
    Series("DK", ("LL NN NNN", "LL/NN NNN"), 0.7),
    Series("N", ("LL NNNNN", "LL/NNNNN"), 0.7),
    Series("LT", ("LLL|NNN", "LLL NNN", "LLL/NNN"), 0.7),
    Series("LV", ("LL-NNNN", "LL-NNN", "LL/NNNN"), 0.7),
    Series("EST", ("NNN LLL", "NNN/LLL"), 0.6),
    Series("CH", ("LL|NNNNNN", "LL|NNNNN", "LL NNNNNN", "LL/NNNNN"), 0.7, ("crest",), ("",)),
    Series("UA", ("LL NNNN LL", "LL/NNNN LL"), 0.8),
    Series("TR", ("NN LL NNN", "NN LLL NN", "NN L NNNN", "NN/LLL NN"), 0.8),
    Series("L", ("LL NNNN", "L NNNN"), 0.4),
    Series("IRL", ("NNN-L-NNNN", "NN-L-NNNNN"), 0.5),
)  # fmt: skip
# American designs are many and change often: families of what groups look like, not a list of the states' issues.
AMERICA = (
    Series("sticker", ("LLN|LNL", "LLN|LNL", "NLL|NNN", "LLN|NNL", "NNN|LLL", "LAN|LNL"), 5, ("sticker",), avoids=1.0),
    Series("plain", ("NLLLNNN", "LLLNNNN", "LLL NNNN", "LLL NNN", "NNN LLL", "LLN NNN", "LNN NNNN", "NNNN LL",
           "LLLNNN", "LLNNNN", "NNLLNN", "LLLNNL"), 6, ("symbol",), avoids=0.95),
    Series("symbol", ("LLL|NNNN", "LLN|LNL", "LLL|LNN", "LNN|LLL", "NNN|LLL", "NLL|NNN", "LLL|NNN", "NNN|NNN",
           "LLL|NNL", "NLLL|NNN"), 4, ("symbol",), avoids=0.95),
    Series("dash", ("LLL-NNNN", "LLL-NNN", "NNN-LLL", "LLN-NNN", "NNN-NNN", "LL-NNNNN", "NNNN-LL"), 1.5, avoids=0.95),
    Series("digits", ("NNNNNN", "NNN NNN", "LNNNNN", "LNN NNN", "NN LLLL", "LNNNNNN", "NLLNNN", "NLL NNNN",
           "LL NNNNN", "NNNNNNN", "NNNNNLN"), 2, avoids=0.95),
    Series("vanity", ("AAAAAA", "AAAAAAA", "LLLLLLL", "LLLLLL", "LLLLL", "LL LLLL", "NN LLLL", "LNLLL"), 1.2,
           avoids=0.6),
    Series("disabled", ("NNNLL", "NNNNL", "NNNNN", "LNNNN"), 0.6, avoids=0.95),
)  # fmt: skip
PATTERNS: dict[str, tuple[str, ...]] = {
    "br-old": ("LLL.NNNN",),
    "br-old-moto": ("LLL/NNNN",),
    "br-mercosul": ("LLLNLNN",),
    "br-mercosul-moto": ("LLL/NLNN",),
    "mercosur": ("LL NNN LL", "LLL NNNN", "LLLL NNN", "LNNN/LLL", "NNN/LLLL", "LLL/NNNN"),
    "eu": tuple(form for series in EUROPE for form in series.forms),
    "us": tuple(form for series in AMERICA for form in series.forms),
    "other": ("LLL NNN", "LL NNNN", "LNNNNN", "NN LL NNNN", "LLLL NNNN", "NNNNNNN", "NNLNNNN", "LNN LLL", "LL/NNNN",
              "NNN/NNNN", "LLN/NNNN", "NNN LL NN", "LL-NN-NN"),
}  # fmt: skip


def random_text(layout: str, rng: np.random.Generator) -> str:
    """A text in one of the layout's forms, without marks."""
    avoids = 0.0
    if layout in ("eu", "us"):
        series = pick(EUROPE if layout == "eu" else AMERICA, rng)
        form, avoids = series.forms[rng.integers(len(series.forms))], series.avoids
    else:
        forms = PATTERNS[layout]
        form = forms[rng.integers(len(forms))]
    out = []
    for kind in form:
        if kind in MARKS:
            continue
        if kind == "A":
            kind = "LN"[int(rng.integers(2))]
        choices = LETTERS if kind == "L" else DIGITS if kind == "N" else kind
        if layout == "us":
            choices += AMERICAN_OFTEN.get(kind, "")
        char = choices[rng.integers(len(choices))]
        while char in CONFUSABLE and rng.random() < avoids:
            char = choices[rng.integers(len(choices))]
        out.append(char)
    return "".join(out)


def pick(series: tuple[Series, ...], rng: np.random.Generator) -> Series:
    weights = np.array([s.weight for s in series])
    return series[rng.choice(len(series), p=weights / weights.sum())]


def fits(form: str, text: str) -> bool:
    """Whether `text` has the form's kinds of characters in the form's order."""
    kinds = [k for k in form if k not in MARKS]
    return len(kinds) == len(text) and all(
        c.isdigit() if k == "N" else c.isalpha() if k == "L" else k in ("A", c)
        for k, c in zip(kinds, text, strict=True)
    )


def set_in(form: str, text: str) -> str:
    """`text` with the form's marks between its groups."""
    rest = iter(text)
    return "".join(mark if mark in MARKS else next(rest) for mark in form)


def grouped(text: str, rows: int, rng: np.random.Generator, mark: str = " ") -> str:
    """`text` with a mark, or a row break, where its letters end and its digits begin, or else near the middle."""
    if rows == 1 and (len(text) < 4 or rng.random() < 0.25):
        return text
    turns = [i for i in range(2, len(text) - 1) if text[i].isdigit() != text[i - 1].isdigit()]
    cut = turns[rng.integers(len(turns))] if turns else max(1, len(text) // 2)
    return text[:cut] + ("/" if rows == 2 else mark) + text[cut:]
