"""Trains the plate detector: `python -m lpr_train.detector_train --config config/detector.toml --data DIR --out DIR`.

Resumes from `OUT/last.pt` where it exists. The configuration is read anew at each start, so a longer schedule or other
data shares take effect on resuming. The scene cache is built under `OUT/cache` at first use.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import shutil
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from .detector_data import SceneCache, build_cache
from .detector_loss import Targets, detector_loss
from .detector_net import Detector
from .detector_paste import TexturePool, build_pool
from .detector_scene import SceneComposer, SceneConfig


class Stream(IterableDataset):
    """An endless, seeded stream of batches; each worker has its own, and resuming continues with fresh draws."""

    def __init__(self, cache: Path, config: dict, start: int) -> None:
        self.cache, self.config, self.start = cache, config, start

    def __iter__(self):
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.config["seed"], self.start, worker.id if worker else 0])
        shared, pool = SceneCache(self.cache), TexturePool(self.cache, self.config["cache"]["real_textures"])
        wide = self.config["scene"]
        far = SceneComposer(shared, pool, SceneConfig(**wide))
        close = SceneComposer(shared, pool, SceneConfig(**wide | self.config["close"]))
        train = self.config["train"]
        while True:
            composer = close if rng.random() < train["close_batches"] else far
            yield collate([composer.sample(rng) for _ in range(train["batch"])])


def collate(samples: list) -> tuple[torch.Tensor, Targets]:
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    plates = [(n, p) for n, s in enumerate(samples) for p in s.plates]
    ignore = [(n, b) for n, s in enumerate(samples) for b in s.ignore]
    quads = np.array([p.quad for _, p in plates], np.float32).reshape(-1, 4, 2)
    boxes = np.array([b for _, b in ignore], np.float32).reshape(-1, 4)
    targets = Targets(
        image=torch.tensor([n for n, _ in plates], dtype=torch.long),
        quads=torch.from_numpy(quads),
        exact=torch.tensor([p.exact for _, p in plates], dtype=torch.bool),
        rows=torch.tensor([p.rows for _, p in plates], dtype=torch.long),
        ignore_image=torch.tensor([n for n, _ in ignore], dtype=torch.long),
        ignore=torch.from_numpy(boxes),
    )
    return images, targets


def learning_rate(config: dict, seen: int) -> float:
    """Warm up, stay, fall linearly to 2 % over the last `decay` of the schedule."""
    total, decay = config["images"], config["decay"]
    left = max(0.0, 1.0 - seen / total)
    factor = min(1.0, (seen + 1) / config["warmup_images"], max(left / decay, 0.02))
    return config["learning_rate"] * factor


def ema_update(average: torch.nn.Module, net: torch.nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1.0 - decay)
            else:
                kept.copy_(new)


def save(path: Path, state: dict) -> None:
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def prepare(config: dict, data: Path, cache: Path) -> None:
    if not (cache / "scenes.u8").exists():
        build_cache(data, cache, config["cache"]["sources"])
    if not (cache / "textures.npz").exists():
        build_pool(data, cache, config["cache"]["rendered_plates"], config["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with scenes-*, crops-*, negatives")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and the cache of decoded scenes")
    args = parser.parse_args()
    config = tomllib.loads(args.config.read_text())
    train = config["train"]
    torch.manual_seed(config["seed"])
    random.seed(config["seed"])
    torch.set_num_threads(train["threads"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.out.mkdir(parents=True, exist_ok=True)
    cache = args.out / "cache"
    prepare(config, args.data, cache)

    net = Detector().to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(net)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": train["weight_decay"]}, {"params": plain, "weight_decay": 0.0}], lr=1e-3
    )
    seen = 0
    last = args.out / "last.pt"
    if last.exists():
        state = torch.load(last, map_location=device)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]
        print(f"resumed at {seen} images", flush=True)

    def checkpoint() -> None:
        parts = {"net": net, "average": average, "optimizer": optimizer}
        save(last, {name: part.state_dict() for name, part in parts.items()} | {"seen": seen})

    net.train()
    workers = 1 if device.type == "cpu" else 8
    # Spawned, not forked: OpenCV's and PyTorch's threads do not survive a fork.
    loader = DataLoader(
        Stream(cache, config, seen),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
    logged, saved, since, sums, steps = time.monotonic(), time.monotonic(), seen, {}, 0
    for images, targets in loader:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(train, seen)
        batch = images.to(device).to(torch.float32, memory_format=torch.channels_last).div_(255)
        for name, value in vars(targets).items():
            setattr(targets, name, value.to(device))
        with torch.autocast(device.type, torch.bfloat16):
            maps = net(batch)
        loss, parts = detector_loss(maps, targets, config["loss"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), train["clip_norm"])
        if not math.isfinite(float(norm)):
            print(f"{seen} images: gradient not finite, step skipped", flush=True)
            continue
        optimizer.step()
        seen += len(images)
        ema_update(average, net, min(train["ema_decay"], (1 + seen / train["batch"]) / (10 + seen / train["batch"])))
        steps += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        now = time.monotonic()
        if now - logged > train["log_s"]:
            means = " ".join(f"{name} {value / steps:.4f}" for name, value in sums.items())
            rate = (seen - since) / (now - logged)
            lr = learning_rate(train, seen)
            print(f"{time.strftime('%H:%M:%S')} {seen} images {rate:.1f}/s lr {lr:.5f} {means}", flush=True)
            logged, since, sums, steps = now, seen, {}, 0
        if now - saved > train["checkpoint_s"]:
            checkpoint()
            saved = now
        if seen >= train["images"]:
            break
    checkpoint()
    # A finished stage stays, for averaging with the next one (detector_export).
    shutil.copyfile(last, args.out / f"stage-{seen}.pt")


if __name__ == "__main__":
    main()
