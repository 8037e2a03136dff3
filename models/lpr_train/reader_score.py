"""Exact-match scores of a reader: held-out crops, and the benchmarks' plates cut out along their true boxes."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from .reader_augment import rectify
from .reader_labels import PAD, SLOTS, decode

#: Inputs to slot probabilities [N, 9, 37] and probabilities of a readable plate [N].
Read = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
DIGITS, LETTERS = list(range(10)), list(range(10, PAD))
BRAZILIAN = ("LLLNNNN", "LLLNLNN")


def masked_text(slots: np.ndarray, formats: tuple[str, ...] = BRAZILIAN) -> str:
    """The likeliest text (slots [9, 37] probabilities) among those that fit one of the formats."""
    log = np.log(np.maximum(slots, 1e-9))
    best = (-np.inf, "")
    for pattern in formats:
        score, indices = 0.0, []
        for slot in range(SLOTS):
            allowed = ({"L": LETTERS, "N": DIGITS}[pattern[slot]]) if slot < len(pattern) else [PAD]
            pick = max(allowed, key=lambda i, s=slot: log[s, i])
            score, indices = score + log[slot, pick], [*indices, pick]
        best = max(best, (score, decode(indices)))
    return best[1]


def held_out_misses(
    read: Read, inputs: np.ndarray, texts: np.ndarray, brazilian: bool
) -> tuple[list[tuple[str, str]], list[float]]:
    """The misses (truth, read), O counting as 0 outside Brazil, and each picture's probability of being a plate."""
    slots, plate = read(inputs)
    got = [masked_text(s) if brazilian else decode(s.argmax(axis=1)) for s in slots]
    fold = (lambda t: t) if brazilian else (lambda t: t.replace("O", "0"))
    misses = [(str(t), g) for t, g in zip(texts, got, strict=True) if fold(str(t)) != fold(g)]
    return misses, plate.tolist()


def benchmark_inputs(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Reader inputs of one benchmark along the true, unturned boxes: what a perfect box detector would hand over."""
    rows = [json.loads(line) for line in (folder / "labels.jsonl").open()]
    inputs = []
    for row in rows:
        image = cv2.cvtColor(cv2.imread(str(folder / row["file"])), cv2.COLOR_BGR2RGB)
        x1, y1, x2, y2 = row["box"]
        # Average down first: the warp's bilinear taps would skip pixels of a plate that is much wider than the input.
        shrink = max(1.0, (x2 - x1) / 160)
        if shrink > 1:
            image = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        quad = np.float32([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) / shrink
        inputs.append(rectify(image, quad))
    return np.stack(inputs), [row["text"] for row in rows]


def benchmark_score(read: Read, folder: Path) -> tuple[int, int, list[tuple[str, str]]]:
    """(right, all, misses). Brazil: grammar mask, strict; elsewhere O counts as 0."""
    inputs, texts = benchmark_inputs(folder)
    slots, _ = read(inputs)
    brazil = folder.name.endswith("br")
    got = [masked_text(s) if brazil else decode(s.argmax(axis=1)) for s in slots]
    fold = (lambda t: t) if brazil else (lambda t: t.replace("O", "0"))
    misses = [(t, g) for t, g in zip(texts, got, strict=True) if fold(t) != fold(g)]
    return len(texts) - len(misses), len(texts), misses
