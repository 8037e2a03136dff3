"""Harder sets out of the benchmarks: `python -m lpr_train.changed_set --data DIR --out DIR`.

Turns, darkens, blurs and cuts every third image of `bench-*` into one folder per change and country.
`evaluate.py --data OUT --sets turn35-br,...` measures them; `-br` is read under the Brazilian grammar.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

EVERY = 3

Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def corners(box: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def turn(
    degrees: float, image: np.ndarray, box: np.ndarray, _rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Around the plate; the new box is that of the turned old one."""
    center = (box[:2] + box[2:]) / 2
    matrix = cv2.getRotationMatrix2D(tuple(center.tolist()), degrees, 1.0)
    size = (image.shape[1], image.shape[0])
    turned = corners(box) @ matrix[:, :2].T + matrix[:, 2]
    changed = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return changed, np.concatenate([turned.min(0), turned.max(0)])


def cut(share: float, image: np.ndarray, box: np.ndarray, _rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """To a window that the plate takes `share` of the width of; small windows are enlarged."""
    span = np.array([1.0, 0.6]) * (box[2] - box[0]) / share
    center = (box[:2] + box[2:]) / 2
    x1, y1 = np.maximum(center - span / 2, 0).astype(int)
    x2, y2 = np.minimum(center + span / 2, [image.shape[1], image.shape[0]]).astype(int)
    scale = 2.0 if x2 - x1 < 500 else 1.0
    window = cv2.resize(image[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return window, (box - [x1, y1, x1, y1]) * scale


def dim(gain: float, image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return np.clip(image * gain + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8), box


def infrared(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    gray = np.clip((cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) - 60.0) * 0.5, 0, 255)
    noisy = np.clip(gray + rng.normal(0, 4, gray.shape), 0, 255).astype(np.uint8)
    return cv2.cvtColor(noisy, cv2.COLOR_GRAY2BGR), box


def blur(sigma: float, image: np.ndarray, box: np.ndarray, _rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return cv2.GaussianBlur(image, (0, 0), sigma), box


CHANGES: dict[str, Change] = {
    **{f"turn{degrees}": partial(turn, degrees) for degrees in (15, 25, 35, 45, -45)},
    **{f"cut{share}": partial(cut, share) for share in (0.35, 0.5, 0.7)},
    **{f"dim{gain}": partial(dim, gain) for gain in (0.25, 0.1)},
    "infrared": infrared,
    "blur2": partial(blur, 2.0),
}


def add(folder: Path, image: np.ndarray, box: np.ndarray, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.jsonl").open("a+") as labels:
        labels.seek(0)
        name = f"{len(labels.readlines()):03}.jpg"
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        labels.write(json.dumps({"file": name, "box": np.round(box, 1).tolist(), "text": text}) + "\n")


def change_benchmarks(data: Path, out: Path, rng: np.random.Generator) -> None:
    for country in ("br", "eu", "us"):
        folder = data / f"bench-{country}"
        for line in (folder / "labels.jsonl").read_text().splitlines()[::EVERY]:
            row = json.loads(line)
            image = cv2.imread(str(folder / row["file"]))
            if image is None:
                raise SystemExit(f"{folder / row['file']}: not a readable image; remove its label or restore it")
            for name, change in CHANGES.items():
                add(out / f"{name}-{country}", *change(image, np.array(row["box"], np.float64), rng), row["text"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with bench-br, bench-eu, bench-us")
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=20261122)
    args = parser.parse_args()
    if args.out.exists():
        raise SystemExit(f"{args.out}: exists; name a new folder")
    change_benchmarks(args.data, args.out, np.random.default_rng(args.seed))
    print(",".join(sorted(folder.name for folder in args.out.iterdir())))


if __name__ == "__main__":
    main()
