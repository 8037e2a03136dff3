"""Pools of plates and look-alikes from street photos: what `reader_harvest` cut out, with the texts read by eye.

`config/scene-texts.txt` has a line a plate: photo, x and y of its middle in pixels, and its text, `!` where no plate
can be read (blank, censored, no plate at all) or `?` where a human could not tell.
"""

from pathlib import Path

import numpy as np

from .reader_harvest import Harvest
from .reader_labels import encode
from .reader_pool import Pool, collect

NOT_A_PLATE, UNSURE = "!", "?"
# Wider than this one-row plates are of the European kind, narrower ones of the American.
LONG_ASPECT, SHORT_ASPECT = 0.3, 0.42
# A middle read by eye belongs to the nearest plate found, at most this share of its width away.
NEAR = 0.2
# Photos with plates may hold one that nobody drew: what scores high there and reads well is left out.
DOUBTFUL_SCORE = 0.6


def scene_texts(path: Path) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Photo name to (middle, text) of its plates."""
    texts: dict[str, list[tuple[np.ndarray, str]]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            file, x, y, text = line.split()
            if text not in (NOT_A_PLATE, UNSURE):
                encode(text)
            texts.setdefault(file, []).append((np.float32([x, y]), text))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {line!r}: expected `photo x y text` ({error})") from error
    return texts


def assigned_texts(harvest: Harvest, texts: dict[str, list[tuple[np.ndarray, str]]]) -> list[str | None]:
    """The text of every picture in the harvest, None where nobody has looked."""
    middles = harvest.quads.mean(axis=1)
    widths = np.ptp(harvest.quads[:, :, 0], axis=1)
    photos: dict[str, list[int]] = {}
    for i, file in enumerate(harvest.files):
        photos.setdefault(str(file).rpartition("/")[2], []).append(i)
    found: list[str | None] = [None] * len(harvest)
    for photo, known in texts.items():
        for middle, text in known:
            # One picture a text: a grille or a badge beside the plate may be as near as a fraction of its width.
            away = {i: float(np.linalg.norm(middles[i] - middle) / widths[i]) for i in photos.get(photo, [])}
            nearest = min(away, key=away.__getitem__, default=None)
            if nearest is not None and away[nearest] <= NEAR:
                found[nearest] = text
    return found


def layout_of(text: str, aspect: float) -> str | None:
    """A guess good enough to learn from, or None."""
    brazilian = len(text) == 7 and text[:3].isalpha() and text[3:].isdigit() and text[0] in "JNO"
    if aspect < SHORT_ASPECT and brazilian:
        return None
    return "eu" if aspect < LONG_ASPECT else None


def scene_pool(harvest: Harvest, texts: list[str | None]) -> Pool:
    """The plates read by eye."""
    aspects, widths = harvest.aspects(), np.ptp(harvest.quads[:, :, 0], axis=1)
    return collect(
        [
            (harvest.images[i], text, layout_of(text, aspects[i]), None, float(aspects[i]), float(widths[i]))
            for i, text in enumerate(texts)
            if text not in (None, NOT_A_PLATE, UNSURE)
        ]
    )


def look_alike_pool(harvest: Harvest, texts: list[str | None], held_out_files: set[str]) -> tuple[Pool, Pool]:
    """What the detector takes for a plate: to learn from, and of the photos in `held_out_files`."""
    aspects = harvest.aspects()
    learn, held_out = [], []
    for i, text in enumerate(texts):
        kind = str(harvest.kinds[i])
        unseen = text is None and (kind == "bare" or (kind == "beside" and harvest.scores[i] < DOUBTFUL_SCORE))
        if unseen or text == NOT_A_PLATE:
            entry = (harvest.images[i], "", None, None, float(aspects[i]), float(np.ptp(harvest.quads[i, :, 0])))
            (held_out if str(harvest.files[i]) in held_out_files else learn).append(entry)
    return collect(learn), collect(held_out)
