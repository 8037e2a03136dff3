"""Endless batches for the reader: draws from the pools by weight, augments, keeps held-out texts out of training."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .reader_augment import INPUT_QUAD, POOL_QUAD, augment, spoil
from .reader_labels import INPUT_HEIGHT, INPUT_WIDTH, PAD, UNKNOWN, is_held_out
from .reader_pool import Pool

#: Pools of real plates read by humans, whose held-out parts measure.
MEASURED = ("sure", "europe", "scenes")


def load_pools(
    folder: Path, sources: dict[str, float], held_out_share: float
) -> tuple[dict[str, list[Pool]], dict[str, Pool]]:
    """Training pools by source (a source may have parts), and the held-out parts of those in MEASURED."""
    train: dict[str, list[Pool]] = {}
    held_out: dict[str, Pool] = {}
    for name in sources:
        parts = [
            Pool.load(path)
            for path in sorted(folder.glob(f"pool-{name}.npz")) + sorted(folder.glob(f"pool-{name}-*.npz"))
        ]
        kept = []
        for pool in parts:
            out = np.array([bool(t) and is_held_out(str(t), held_out_share) for t in pool.texts])
            if name in MEASURED:
                held_out[name] = pool.where(out)
            kept.append(pool.where(~out))
        if kept:
            train[name] = kept
    if "sure" not in held_out:
        raise FileNotFoundError(f"{folder}/pool-sure.npz: missing; run lpr_train.reader_build first")
    return train, held_out


REAL = ("sure", "europe", "pseudo", "scenes")
LOOK_ALIKES = ("look_alikes", "measured_look_alikes")
# Plates narrower than this in the photo are worn already, and are spared by how much.
WORN_WIDTH, FRESH_WIDTH = 32.0, 110.0


class Batches(IterableDataset):
    """Yields (plates uint8, labels, layouts, categories, readable) at the difficulty the trainer keeps in `difficulty`
    (shared memory)."""

    def __init__(self, pools: dict[str, list[Pool]], settings: dict, seed: list[int], difficulty: torch.Tensor):
        self.pools, self.settings, self.seed, self.difficulty = pools, settings, seed, difficulty

    def __iter__(self):
        cv2.setNumThreads(1)
        info = get_worker_info()
        rng = np.random.default_rng([*self.seed, info.id if info else 0])
        names = list(self.pools)
        shares = {name: [_even_shares(pool) for pool in parts] for name, parts in self.pools.items()}
        weights = np.array([self.settings["sources"][n] for n in names])
        weights /= weights.sum()
        count = self.settings["batch"]
        while True:
            batch = [
                self._draw(names[source], shares[names[source]], float(self.difficulty), rng)
                for source in rng.choice(len(names), count, p=weights)
            ]
            yield tuple(torch.from_numpy(np.stack(column)) for column in zip(*batch, strict=True))

    def _draw(self, source: str, shares: list[np.ndarray], difficulty: float, rng: np.random.Generator):
        part = int(rng.integers(len(shares)))
        pool = self.pools[source][part]
        k = int(np.searchsorted(shares[part], rng.random()))
        picture, aspect = pool.images[k], float(pool.aspects[k])
        if source not in LOOK_ALIKES and rng.random() < self.settings["spoiled"]:
            return spoil(picture, aspect, rng), np.full_like(pool.labels[k], PAD), UNKNOWN, UNKNOWN, 0.0
        # Real crops are already blurred, dark and noisy; they get milder wear than clean renders.
        if source in LOOK_ALIKES:
            hard = difficulty * rng.uniform(0, 0.6)
        elif source in REAL:
            fresh = (float(pool.widths[k]) - WORN_WIDTH) / (FRESH_WIDTH - WORN_WIDTH)
            hard = difficulty * rng.uniform(0, 0.75) * float(np.clip(fresh, 0.2, 1.0))
        else:
            hard = difficulty * rng.uniform(0.3, 1)
        plate, true_colors = augment(picture, aspect, hard, rng)
        category = pool.categories[k] if true_colors else UNKNOWN
        return plate, pool.labels[k], int(pool.layouts[k]), int(category), float(bool(pool.texts[k]))


def _even_shares(pool: Pool) -> np.ndarray:
    """Cumulative shares of the pictures: a plate seen n times is drawn sqrt(n) times as often as one seen once."""
    _, which, counts = np.unique(pool.texts, return_inverse=True, return_counts=True)
    shares = np.where(pool.texts == "", 1.0, 1 / np.sqrt(counts[which]))
    return np.cumsum(shares) / shares.sum()


def plain_inputs(pool: Pool) -> np.ndarray:
    """The pool's plates exactly as rectified, without augmentation, as reader inputs."""
    matrix = cv2.getPerspectiveTransform(POOL_QUAD, INPUT_QUAD)
    size = (INPUT_WIDTH, INPUT_HEIGHT)
    return np.stack([cv2.warpPerspective(p, matrix, size, borderMode=cv2.BORDER_REPLICATE) for p in pool.images])
