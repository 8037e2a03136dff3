"""Builds the reader's pool: rectified plate pictures with labels, from photos and from the renderer, cached on disk.

`python -m lpr_train.reader_pool --config models/config/reader.toml --data DIR --out DIR`
Folder layout of --data: see models/README.md. Each source becomes `pool-<name>.npz` (or is left if it is there).
"""

import argparse
import json
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from render.geometry import BLANKS
from render.plate import LAYOUTS as RENDERED
from render.plate import random_color, random_text, render_plate

from .reader_augment import POOL_HEIGHT, POOL_QUAD, POOL_WIDTH, rectify
from .reader_labels import LAYOUTS, encode, fix_old_brazilian
from .reader_rectify import plausible, register


@dataclass
class Pool:
    """`images` [N, POOL_HEIGHT, POOL_WIDTH, 3] RGB, `labels` [N, 9], `layouts` [N], `aspects` [N], `texts` N."""

    images: np.ndarray
    labels: np.ndarray
    layouts: np.ndarray
    aspects: np.ndarray
    texts: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, keep: np.ndarray) -> "Pool":
        return Pool(self.images[keep], self.labels[keep], self.layouts[keep], self.aspects[keep], self.texts[keep])

    @staticmethod
    def load(path: Path) -> "Pool":
        with np.load(path) as z:
            return Pool(z["images"], z["labels"], z["layouts"], z["aspects"], z["texts"])

    def save(self, path: Path) -> None:
        np.savez(path, **self.__dict__)


def collect(entries: list[tuple[np.ndarray, str, str, float]]) -> Pool:
    """A pool from (picture, text, layout, height/width)."""
    return Pool(
        images=np.stack([e[0] for e in entries]),
        labels=np.array([encode(e[1]) for e in entries], np.int64),
        layouts=np.array([LAYOUTS.index(e[2]) for e in entries], np.int64),
        aspects=np.array([e[3] for e in entries], np.float32),
        texts=np.array([e[1] for e in entries]),
    )


def real_crop(folder: Path, minimum_score: float, job: tuple[str, str]) -> tuple[np.ndarray, str, str, float, float]:
    """One labelled old Brazilian crop, rectified by its characters, or by its own frame where that fails (score 0)."""
    file, text = job
    image = cv2.imread(str(folder / file))
    if image is None:
        raise FileNotFoundError(f"{folder / file}: unreadable picture; check the copy of the data folder")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    found = register(image, text)
    if found and plausible(found, image.shape, minimum_score):
        return rectify(image, found.quad, to_pool=True), text, "br-old", 0.325, found.score
    return rectify(image, frame_of(image), to_pool=True), text, "br-old", 0.325, 0.0


def frame_of(image: np.ndarray) -> np.ndarray:
    """The plate's corners guessed from nothing but the crop's own frame, a little inside it."""
    height, width = image.shape[:2]
    x, y = 0.03 * width, 0.07 * height
    return np.float32([[x, y], [width - x, y], [width - x, height - y], [x, height - y]])


def european_list(pools: dict) -> Path:
    """The file of texts read by eye."""
    return Path(__file__).parents[1] / "config" / pools["european_texts"]


def european_texts(texts: Path) -> dict[str, str]:
    """File name to text, for the European crops that somebody has read."""
    words = [w for line in texts.read_text().splitlines() if not line.startswith("#") for w in line.split()]
    return {f"eu-{int(number):05d}.jpg": text for number, text in zip(words[::2], words[1::2], strict=True)}


def european_pool(folder: Path, texts: Path) -> Pool:
    """The European crops whose texts stand in `texts`; the crops show little but the plate, so their frame is it."""
    entries = []
    for name, text in european_texts(texts).items():
        path = folder / name
        image = cv2.imread(str(path))
        if image is None:
            raise FileNotFoundError(f"{path}: unreadable picture; check the copy of the data folder against {texts}")
        height, width = image.shape[:2]
        frame = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
        picture = rectify(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), frame, to_pool=True)
        entries.append((picture, text, "eu", height / width))
    return collect(entries)


def real_pool(
    folder: Path, jobs: list[tuple[str, str]], minimum_score: float, only_registered: bool, workers: int
) -> Pool:
    with ProcessPoolExecutor(workers) as executor:
        done = list(executor.map(partial(real_crop, folder, minimum_score), jobs, chunksize=16))
    kept = [d[:4] for d in done if d[4] > 0 or not only_registered]
    print(f"{folder.name}: {len(jobs)} crops, {sum(d[4] > 0 for d in done)} registered, {len(kept)} kept", flush=True)
    return collect(kept)


def rendered_chunk(backgrounds: np.ndarray, shares: dict[str, float], seed: int, count: int) -> Pool:
    """`count` rendered plates of random layouts on random surroundings."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    names = [n for n in RENDERED if shares.get(n, 0) > 0]
    weights = np.array([shares[n] for n in names], float)
    entries = []
    for _ in range(count):
        layout = names[rng.choice(len(names), p=weights / weights.sum())]
        text = random_text(layout, rng)
        px_per_mm = 260 / BLANKS[layout][0].width
        plate = render_plate(text, layout, random_color(layout, rng), rng, px_per_mm, wear=rng.uniform(0, 1))
        height, width = plate.rgb.shape[:2]
        surround = _surroundings(backgrounds, plate.rgb, rng)
        corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
        matrix = cv2.getPerspectiveTransform(corners, POOL_QUAD)
        size = (POOL_WIDTH, POOL_HEIGHT)
        # The plate is about twice the pool's size: smooth first, so that the warp's bilinear taps do not alias.
        face = cv2.warpPerspective(
            cv2.GaussianBlur(plate.rgb, (0, 0), 0.6), matrix, size, borderMode=cv2.BORDER_REPLICATE
        )
        alpha = cv2.warpPerspective(plate.alpha, matrix, size)[..., None] / np.float32(255)
        picture = (surround * (1 - alpha) + face * alpha).astype(np.uint8)
        entries.append((picture, text, layout, height / width))
    return collect(entries)


def _surroundings(backgrounds: np.ndarray, plate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A patch of a photo, or a plain bumper, at times a frame close around the plate."""
    patch = backgrounds[rng.integers(len(backgrounds))]
    if rng.random() < 0.5:
        shade = rng.integers(0, 255, 3) if rng.random() < 0.5 else np.full(3, rng.integers(0, 255))
        patch = (patch * 0.25 + shade * 0.75).astype(np.uint8)
    if rng.random() < 0.3:
        tone = int(rng.integers(0, 200))
        (x1, y1), _, (x2, y2), _ = np.round(
            POOL_QUAD + rng.uniform(1, 6) * np.float32([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        )
        patch = patch.copy()
        cv2.rectangle(patch, (int(x1), int(y1)), (int(x2), int(y2)), (tone, tone, tone), -1)
    return patch


def backgrounds_from(folders: list[Path], count: int, seed: int) -> np.ndarray:
    """Random patches of photos, in the pool's size."""
    rng = np.random.default_rng(seed)
    files = sorted(f for folder in folders for f in folder.glob("*.jpg"))
    out = []
    for index in rng.choice(len(files), count):
        image = cv2.imread(str(files[index]))
        if image is None or min(image.shape[:2]) < 40:
            continue
        height, width = image.shape[:2]
        w = int(rng.integers(30, min(width, 300)))
        h = max(16, min(height, w // 2))
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        out.append(cv2.resize(image[y : y + h, x : x + w, ::-1], (POOL_WIDTH, POOL_HEIGHT)))
    return np.stack(out)


def build(config: dict, data: Path, out: Path) -> None:
    """Write every pool that is not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    pools, workers = config["pool"], config["pool"]["workers"]
    crops = [json.loads(line) for line in (data / "crops-br" / "labels.jsonl").open()]
    doubtful = set(pools["exclude_texts"])
    jobs = {
        "sure": [(c["file"], c["text"]) for c in crops if c["label"] == "sure" and c["text"] not in doubtful],
        "clean": [(c["file"], c["text"]) for c in crops if c["label"] == "render"],
        "guess": [(c["file"], t) for c in crops if c["label"] == "guess" and (t := fix_old_brazilian(c["text"]))],
    }
    for name, wanted in jobs.items():
        path = out / f"pool-{name}.npz"
        if not path.exists():
            score = pools["register_score"] if name == "sure" else pools["register_score_guess"]
            real_pool(data / "crops-br", wanted, score, name == "guess", workers).save(path)
    path = out / "pool-europe.npz"
    if not path.exists():
        european_pool(data / "crops-eu", european_list(pools)).save(path)
    backgrounds = backgrounds_from([data / f for f in pools["backgrounds"]], 1500, config["seed"])
    for part in range(pools["render_parts"]):
        path = out / f"pool-render-{part}.npz"
        if not path.exists():
            rendered_chunk(
                backgrounds, pools["layout_shares"], config["seed"] + 1000 + part, pools["render_part_size"]
            ).save(path)
            print(f"rendered part {part}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="build the reader's pool of plate pictures")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with args.config.open("rb") as file:
        build(tomllib.load(file), args.data, args.out)


if __name__ == "__main__":
    main()
