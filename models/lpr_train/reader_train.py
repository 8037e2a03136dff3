"""Trains the reader; resumes from the last checkpoint in --out; the same code on CPU and CUDA.

`python -m lpr_train.reader_train --config models/config/reader.toml --data DIR --out DIR [--minutes M] [--restart]`
Builds the pool under OUT/pool first if it is missing. The schedule follows the clock, so that it fits the time given.
"""

import argparse
import copy
import math
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from . import reader_pool
from .reader_labels import PAD
from .reader_net import Reader
from .reader_sampler import Batches, load_pools, plain_inputs
from .reader_score import benchmark_score, held_out_score


def loss_of(model: Reader, plates, labels, layouts, settings: dict):
    """Cross entropy over slots (padding counts less) and layouts, and the share of slots read right."""
    slots, layout = model(plates)
    each = F.cross_entropy(
        slots.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=settings["label_smoothing"]
    )
    weight = torch.where(labels.flatten() == PAD, settings["pad_weight"], 1.0)
    loss = (each * weight).sum() / weight.sum() + settings["layout_weight"] * F.cross_entropy(layout, layouts)
    right = (slots.argmax(2) == labels).all(1).float().mean()
    return loss, right


def reading(model: Reader, device: torch.device):
    """The model as a function from uint8 inputs to slot probabilities."""

    def read(inputs: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            parts = [
                model(torch.from_numpy(p).to(device))[0].softmax(2).cpu().numpy()
                for p in np.array_split(inputs, max(1, len(inputs) // 64))
            ]
        return np.concatenate(parts)

    return read


def learning_rate(settings: dict, step: int, share: float) -> float:
    """Short warm-up by steps, then half a cosine over the time."""
    return (
        settings["learning_rate"]
        * min(1.0, (step + 1) / settings["warmup_steps"])
        * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
    )


def evaluate(average: Reader, device: torch.device, held_out, inputs: np.ndarray, data: Path, detail: bool) -> str:
    read = reading(average, device)
    raw, masked, misses = held_out_score(read, inputs, held_out.texts)
    parts = [f"held-out {100 * masked:.1f} % ({100 * raw:.1f} % without mask) of {len(inputs)}"]
    for name in ("br", "eu", "us"):
        right, total, wrong = benchmark_score(read, data / f"bench-{name}")
        parts.append(f"bench-{name} along true boxes {right}/{total}")
        if detail:
            print(name, wrong, flush=True)
    if detail:
        print("held-out", misses, flush=True)
    return ", ".join(parts)


def train(config: dict, data: Path, out: Path, restart: bool) -> None:
    settings = config["train"]
    torch.manual_seed(config["seed"])
    torch.set_num_threads(settings["threads"])
    cv2.setNumThreads(1)  # its thread pool would not survive the fork of the loaders, which then wait for ever
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reader_pool.build(config, data, out / "pool")
    pools, held_out = load_pools(out / "pool", settings["sources"], settings["held_out_share"])
    print({name: sum(map(len, parts)) for name, parts in pools.items()}, "held out", len(held_out), flush=True)
    inputs = plain_inputs(held_out)
    model = Reader(**config["network"]).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    step, done_s, path = 0, 0.0, out / "reader.pt"
    difficulty = torch.tensor(settings["ramp_start"]).share_memory_()
    if path.exists() and not restart:
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, done_s = saved["step"], saved["done_s"]
        difficulty.fill_(saved["difficulty"])
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters on {device}, from step {step}", flush=True
    )

    def save() -> None:
        state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"step": step, "done_s": now_s(), "difficulty": float(difficulty), "network": config["network"]}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    started = time.time()
    budget_s = 60 * settings["minutes"]

    def now_s() -> float:
        return time.time() - started + done_s

    next_score = now_s() + 60
    next_save = now_s() + 60 * settings["checkpoint_every_minutes"]
    batches = Batches(pools, settings, [config["seed"], step], difficulty)
    losses, rights, mark = [], [], (started, step)
    for plates, labels, layouts in DataLoader(
        batches, batch_size=None, num_workers=settings["loaders"], prefetch_factor=8
    ):
        share = now_s() / budget_s
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step, share)
        model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=settings["bf16"]):
            loss, right = loss_of(model, plates.to(device), labels.to(device), layouts.to(device), settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        step += 1
        blend = min(settings["ema"], (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                kept.lerp_(new, 1 - blend) if kept.is_floating_point() else kept.copy_(new)
        losses.append(loss.item())
        rights.append(right.item())
        # Harder only while the current difficulty is being read: on a busy machine minutes and steps mean little.
        move = settings["ramp_step"] * (1 if np.mean(rights[-30:]) > settings["ramp_target"] else -0.5)
        difficulty.fill_(min(1.0, max(settings["ramp_start"], float(difficulty) + move)))
        if step % 100 == 0:
            rate = (step - mark[1]) * settings["batch"] / (time.time() - mark[0])
            mark = (time.time(), step)
            print(
                f"{now_s() / 60:.1f} min step {step} loss {np.mean(losses[-100:]):.3f} "
                f"exact {np.mean(rights[-100:]):.3f} difficulty {float(difficulty):.2f} {rate:.0f} crops/s",
                flush=True,
            )
        if now_s() > next_score:
            print(evaluate(average, device, held_out, inputs, data, detail=False), flush=True)
            next_score = now_s() + 60 * settings["evaluate_every_minutes"]
        if now_s() > next_save or share >= 1:
            save()
            next_save = now_s() + 60 * settings["checkpoint_every_minutes"]
        if share >= 1:
            break
    print("end:", evaluate(average, device, held_out, inputs, data, detail=True), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="train the reader")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="instead of the configured training time")
    parser.add_argument("--restart", action="store_true", help="do not resume from the checkpoint in --out")
    args = parser.parse_args()
    with args.config.open("rb") as file:
        config = tomllib.load(file)
    if args.minutes:
        config["train"]["minutes"] = args.minutes
    train(config, args.data, args.out, args.restart)


if __name__ == "__main__":
    main()
