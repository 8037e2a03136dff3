"""Builds the reader's pools from photos and from the renderer.

`python -m lpr_train.reader_build --config models/config/reader.toml --data DIR --out DIR`
Folder layout of --data: see models/README.md. Each source becomes `pool-<name>.npz` (or is left if it is there).
"""

import argparse
import json
import tomllib
import zlib
from pathlib import Path

import cv2
import numpy as np
from render.geometry import BLANKS
from render.plate import LAYOUTS as RENDERED
from render.plate import category, random_color, random_text, render_plate

from .reader_augment import POOL_HEIGHT, POOL_QUAD, POOL_WIDTH
from .reader_harvest import Harvest, harvest
from .reader_lettering import lettering_pool
from .reader_pool import Pool, collect, european_pool, real_pool
from .reader_scenes import assigned_texts, look_alike_pool, scene_pool, scene_texts

MODELS = Path(__file__).resolve().parents[1]
#: Of the pictures that look like plates in `negatives`, the part that only measures: a photo is on one side whole.
MEASURED_SHARE = 0.2


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
        color = random_color(layout, rng)
        plate = render_plate(text, layout, color, rng, px_per_mm, wear=rng.uniform(0, 1))
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
        entries.append((picture, text, layout, category(layout, color), height / width, float(width)))
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


def measured(file: str) -> bool:
    """Whether a photo of `negatives` only measures."""
    return file.startswith("negatives/") and zlib.crc32(file.encode()) % 1000 < 1000 * MEASURED_SHARE


def build_scenes(pools: dict, data: Path, out: Path) -> None:
    """Plates in street photos, and what the detector takes for plates, to learn from and to measure with."""
    paths = [out / f"pool-{name}.npz" for name in ("scenes", "look_alikes", "measured_look_alikes")]
    if all(path.exists() for path in paths):
        return
    cache = out / "harvest.npz"
    if not cache.exists():
        harvest(data, MODELS / "manifest.toml").save(cache)
    found = Harvest.load(cache)
    texts = assigned_texts(found, scene_texts(MODELS / "config" / pools["scene_texts"]))
    aside = {str(f) for f in found.files if measured(str(f))}
    for path, pool in zip(paths, (scene_pool(found, texts), *look_alike_pool(found, texts, aside)), strict=True):
        pool.save(path)
        print(f"{path.name}: {len(pool)} pictures", flush=True)


def build(config: dict, data: Path, out: Path) -> None:
    """Write every pool that is not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    pools, workers = config["pool"], config["pool"]["workers"]
    crops = [json.loads(line) for line in (data / "crops-br" / "labels.jsonl").open()]
    doubtful = set(pools["exclude_texts"])
    jobs = {
        "sure": [(c["file"], c["text"]) for c in crops if c["label"] == "sure" and c["text"] not in doubtful],
        "clean": [(c["file"], c["text"]) for c in crops if c["label"] == "render"],
    }
    for name, wanted in jobs.items():
        path = out / f"pool-{name}.npz"
        if not path.exists():
            real_pool(data / "crops-br", wanted, pools["register_score"], workers).save(path)
    path = out / "pool-europe.npz"
    if not path.exists():
        european_pool(data / "crops-eu", MODELS / "config" / pools["european_texts"]).save(path)
    build_scenes(pools, data, out)
    backgrounds = backgrounds_from([data / f for f in pools["backgrounds"]], 1500, config["seed"])
    path = out / "pool-look_alikes-drawn.npz"
    if not path.exists():
        lettering_pool(backgrounds, config["seed"] + 500, pools["lettering"]).save(path)
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
