"""Endless batches for the reader: draws from the pools by weight, augments, keeps held-out texts out of training."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .reader_augment import INPUT_QUAD, POOL_QUAD, augment
from .reader_labels import INPUT_HEIGHT, INPUT_WIDTH, is_held_out
from .reader_pool import Pool


def load_pools(folder: Path, sources: dict[str, float], held_out_share: float) -> tuple[dict[str, list[Pool]], Pool]:
    """Training pools by source (a source may have parts) and the held-out part of `sure`."""
    train: dict[str, list[Pool]] = {}
    held_out = None
    for name in sources:
        parts = [
            Pool.load(path)
            for path in sorted(folder.glob(f"pool-{name}.npz")) + sorted(folder.glob(f"pool-{name}-*.npz"))
        ]
        kept = []
        for pool in parts:
            out = np.array([is_held_out(t, held_out_share) for t in pool.texts])
            if name == "sure":
                held_out = pool.where(out)
            kept.append(pool.where(~out))
        if kept:
            train[name] = kept
    if held_out is None:
        raise FileNotFoundError(f"{folder}/pool-sure.npz: missing; run lpr_train.reader_pool first")
    return train, held_out


REAL = ("sure", "guess", "europe", "pseudo", "pseudo_europe")


class Batches(IterableDataset):
    """Yields (plates uint8, labels, layouts) at the difficulty the trainer keeps in `difficulty` (shared memory)."""

    def __init__(self, pools: dict[str, list[Pool]], settings: dict, seed: list[int], difficulty: torch.Tensor):
        self.pools, self.settings, self.seed, self.difficulty = pools, settings, seed, difficulty

    def __iter__(self):
        cv2.setNumThreads(1)
        info = get_worker_info()
        rng = np.random.default_rng([*self.seed, info.id if info else 0])
        names = list(self.pools)
        weights = np.array([self.settings["sources"][n] for n in names])
        weights /= weights.sum()
        count = self.settings["batch"]
        while True:
            difficulty = float(self.difficulty)
            plates = np.empty((count, INPUT_HEIGHT, INPUT_WIDTH, 3), np.uint8)
            labels, layouts = [], []
            for i, source in enumerate(rng.choice(len(names), count, p=weights)):
                parts = self.pools[names[source]]
                pool = parts[rng.integers(len(parts))]
                k = int(rng.integers(len(pool)))
                # Real crops are already blurred, dark and noisy; they get milder wear than clean renders.
                hard = difficulty * (rng.uniform(0, 0.75) if names[source] in REAL else rng.uniform(0.3, 1))
                plates[i] = augment(pool.images[k], float(pool.aspects[k]), hard, rng)
                labels.append(pool.labels[k])
                layouts.append(pool.layouts[k])
            yield torch.from_numpy(plates), torch.from_numpy(np.array(labels)), torch.from_numpy(np.array(layouts))


def plain_inputs(pool: Pool) -> np.ndarray:
    """The pool's plates exactly as rectified, without augmentation, as reader inputs."""
    matrix = cv2.getPerspectiveTransform(POOL_QUAD, INPUT_QUAD)
    size = (INPUT_WIDTH, INPUT_HEIGHT)
    return np.stack([cv2.warpPerspective(p, matrix, size, borderMode=cv2.BORDER_REPLICATE) for p in pool.images])
