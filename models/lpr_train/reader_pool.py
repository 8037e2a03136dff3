"""The reader's pools: rectified plate pictures with labels, cached on disk; and those of the labelled crops."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from .reader_augment import POOL_HEIGHT, POOL_QUAD, POOL_WIDTH, rectify
from .reader_labels import CATEGORIES, LAYOUTS, PAD, SLOTS, UNKNOWN, encode
from .reader_rectify import plausible, register


@dataclass
class Pool:
    """`images` [N, POOL_HEIGHT, POOL_WIDTH, 3] RGB, `labels` [N, 9]; the rest [N].

    `layouts` and `categories` may be UNKNOWN, `aspects` are height/width, `widths` the plates' in the photo in pixels;
    an empty text is a picture without a readable plate.
    """

    images: np.ndarray
    labels: np.ndarray
    layouts: np.ndarray
    categories: np.ndarray
    aspects: np.ndarray
    widths: np.ndarray
    texts: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, keep: np.ndarray) -> "Pool":
        return Pool(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})

    @staticmethod
    def load(path: Path) -> "Pool":
        with np.load(path) as z:
            return Pool(**{f.name: z[f.name] for f in fields(Pool)})

    def save(self, path: Path) -> None:
        np.savez(path, **self.__dict__)


Entry = tuple[np.ndarray, str, str | None, str | None, float, float]


def collect(entries: list[Entry]) -> Pool:
    """A pool from (picture, text, layout, category, height/width, width in the photo)."""
    size = (0, POOL_HEIGHT, POOL_WIDTH, 3)
    return Pool(
        images=np.stack([e[0] for e in entries]) if entries else np.empty(size, np.uint8),
        labels=np.array([encode(e[1]) if e[1] else [PAD] * SLOTS for e in entries], np.int64).reshape(-1, SLOTS),
        layouts=np.array([LAYOUTS.index(e[2]) if e[2] else UNKNOWN for e in entries], np.int64),
        categories=np.array([CATEGORIES.index(e[3]) if e[3] else UNKNOWN for e in entries], np.int64),
        aspects=np.array([e[4] for e in entries], np.float32),
        widths=np.array([e[5] for e in entries], np.float32),
        texts=np.array([e[1] for e in entries], dtype=f"U{SLOTS}"),
    )


def old_brazilian_category(picture: np.ndarray) -> str | None:
    """Red with bright characters is commercial, gray with dark ones private; None where the photo does not tell."""
    (x1, y1), _, (x2, y2), _ = np.round(POOL_QUAD).astype(int)
    face = picture[y1:y2, x1:x2].astype(np.float32)
    gray = face.mean(axis=2)
    # Characters cover less of the face than the ground: the longer tail of the brightness is theirs.
    low, middle, high = np.percentile(gray, [4, 50, 96])
    redness = float(face[..., 0].mean() - face[..., 1:].mean())
    if high - middle > 1.35 * (middle - low):
        return "commercial" if redness > 0.06 * middle + 4 else None
    return "private" if middle - low > 1.35 * (high - middle) and redness < 0.25 * middle else None


def real_crop(folder: Path, minimum_score: float, job: tuple[str, str]) -> tuple[Entry, float]:
    """One labelled old Brazilian crop, rectified by its characters, or by its own frame where that fails (score 0)."""
    file, text = job
    image = cv2.imread(str(folder / file))
    if image is None:
        raise FileNotFoundError(f"{folder / file}: unreadable picture; check the copy of the data folder")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    found = register(image, text)
    if found and plausible(found, image.shape, minimum_score):
        return old_brazilian(image, found.quad, text), found.score
    return old_brazilian(image, frame_of(image), text), 0.0


def old_brazilian(image: np.ndarray, quad: np.ndarray, text: str) -> Entry:
    """The pool's entry of an old Brazilian one-row plate."""
    picture = rectify(image, quad, to_pool=True)
    width = float(np.linalg.norm(quad[1] - quad[0]))
    return picture, text, "br-old", old_brazilian_category(picture), 0.325, width


def frame_of(image: np.ndarray) -> np.ndarray:
    """The plate's corners guessed from nothing but the crop's own frame, a little inside it."""
    height, width = image.shape[:2]
    x, y = 0.03 * width, 0.07 * height
    return np.float32([[x, y], [width - x, y], [width - x, height - y], [x, height - y]])


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
        entries.append((picture, text, "eu", "other", height / width, float(width)))
    return collect(entries)


def real_pool(folder: Path, jobs: list[tuple[str, str]], minimum_score: float, workers: int) -> Pool:
    with ProcessPoolExecutor(workers) as executor:
        done = list(executor.map(partial(real_crop, folder, minimum_score), jobs, chunksize=16))
    print(f"{folder.name}: {len(jobs)} crops, {sum(score > 0 for _, score in done)} registered", flush=True)
    return collect([entry for entry, _ in done])
