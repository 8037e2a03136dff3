"""Makes the reader's probabilities mean what they say, and draws how well they do.

`python -m lpr_train.reader_calibrate --config models/config/reader.toml --pool OUT/pool --checkpoint OUT/reader.pt
[--svg docs/images/reliability.svg]` prints the temperature for `reader_export --temperature` and the reliability table:
plates held out by text, each as it is and worn in WEAR ways, as the box meets them from afar and at night.
"""

import argparse
import tomllib
from pathlib import Path

import cv2
import numpy as np
import torch

from .reader_augment import augment
from .reader_labels import ALPHABET
from .reader_net import Reader
from .reader_pool import Pool
from .reader_sampler import load_pools, plain_inputs

WEAR, WORN_DIFFICULTY = 3, 0.6
# Confidences are many near 1 and few elsewhere: the bins' upper ends.
BINS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
SIDE, PAD_PX = 300, 46


def worn(pool: Pool, rng: np.random.Generator) -> np.ndarray:
    return np.stack(
        [
            augment(image, float(aspect), WORN_DIFFICULTY * rng.uniform(), rng)[0]
            for image, aspect in zip(pool.images, pool.aspects, strict=True)
        ]
    )


def slot_logits(reader: Reader, inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([reader(torch.from_numpy(p)).slots.numpy() for p in np.array_split(inputs, 24)])


def log_softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))


def without_o(log: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """O counts as 0: on most plates they are one glyph, and the truth does not tell either."""
    zero, o = ALPHABET.index("0"), ALPHABET.index("O")
    log = log.copy()
    log[..., zero] = np.logaddexp(log[..., zero], log[..., o])
    log[..., o] = -np.inf
    return log, np.where(labels == o, zero, labels)


def readings(logits: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each reading (the product over its slots) and whether it is right."""
    log, labels = without_o(log_softmax(logits, temperature), labels)
    return np.exp(log.max(-1).sum(-1)), (log.argmax(-1) == labels).all(-1)


def surprise(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Mean log loss of taking the confidence for the probability that the reading is right."""
    confidence, right = readings(logits, labels, temperature)
    p = np.clip(np.where(right, confidence, 1 - confidence), 1e-6, 1)
    return float(-np.log(p).mean())


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    candidates = np.geomspace(0.5, 2.5, 81)
    return float(candidates[np.argmin([surprise(logits, labels, t) for t in candidates])])


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[tuple[float, float, int, float, float]]:
    """(from, to, readings, mean confidence, share right) of every bin that has any."""
    rows, low = [], 0.0
    for high in BINS:
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            rows.append((low, high, int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean())))
        low = high
    return rows


def expected_error(rows: list[tuple[float, float, int, float, float]]) -> float:
    total = sum(row[2] for row in rows)
    return sum(count * abs(mean - share) for _, _, count, mean, share in rows) / total


def draw(rows: list[tuple[float, float, int, float, float]], path: Path) -> None:
    """Confidence against share right; a point's area follows the number of readings."""

    def at(x: float, y: float) -> tuple[float, float]:
        return PAD_PX + x * SIDE, PAD_PX / 2 + (1 - y) * SIDE

    most = max(row[2] for row in rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE + 1.5 * PAD_PX:.0f}" height="{SIDE + 1.5 * PAD_PX:.0f}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        (x, y), (left, bottom), (right, top) = at(tick, tick), at(0, 0), at(1, 1)
        out.append(f'<path d="M{x:.0f} {top:.0f}V{bottom:.0f}M{left:.0f} {y:.0f}H{right:.0f}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.0f}" y="{bottom + 15:.0f}" text-anchor="middle">{tick:g}</text>')
        out.append(f'<text x="{left - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{tick:g}</text>')
    (x1, y1), (x2, y2) = at(0, 0), at(1, 1)
    out.append(f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke="#888" stroke-dasharray="4"/>')
    for _, _, count, mean, share in rows:
        x, y = at(mean, share)
        out.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4 + 8 * (count / most) ** 0.5:.1f}" fill="#1f6feb" opacity="0.7"/>'
        )
    x, y = at(0.5, 0)
    out.append(f'<text x="{x:.0f}" y="{y + 32:.0f}" text-anchor="middle">confidence of a reading</text>')
    x, y = at(0, 0.5)
    out.append(f'<text transform="translate({x - 34:.0f} {y:.0f}) rotate(-90)" text-anchor="middle">share right</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*out, "</svg>"]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="calibrate the reader on plates it was not trained on")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--svg", type=Path, help="also draw the reliability diagram")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    config = tomllib.loads(args.config.read_text())
    _, held_out = load_pools(args.pool, {"sure": 1, "europe": 1, "scenes": 1}, config["train"]["held_out_share"])
    saved = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    reader = Reader(**saved["network"]).eval()
    reader.load_state_dict(saved["average"])
    rng = np.random.default_rng(config["seed"])
    inputs, labels = [], []
    for pool in held_out.values():
        for picture in (plain_inputs(pool), *(worn(pool, rng) for _ in range(WEAR))):
            inputs.append(picture)
            labels.append(pool.labels)
    logits, truth = slot_logits(reader, np.concatenate(inputs)), np.concatenate(labels)
    temperature = best_temperature(logits, truth)
    for name, value in (("as trained", 1.0), ("calibrated", temperature)):
        rows = reliability(*readings(logits, truth, value))
        error = expected_error(rows)
        print(f"{name}: temperature {value:.3f}, expected calibration error {error:.3f} over {len(truth)} readings")
    print("| confidence | readings | mean confidence | right |\n| --- | --- | --- | --- |")
    for low, high, count, mean, share in rows:
        print(f"| {low:g} to {high:g} | {count} | {mean:.3f} | {share:.3f} |")
    if args.svg:
        draw(rows, args.svg)


if __name__ == "__main__":
    main()
